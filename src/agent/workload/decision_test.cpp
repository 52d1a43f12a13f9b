#include "agent/workload/decision.h"

#include <gtest/gtest.h>

namespace ee::agent {
namespace {

constexpr const char* kD = "d";
constexpr const char* kE = "e";

HeldKey held(std::int64_t epoch, std::int64_t revision, std::string content = "one") {
  return {.key = {.deployment_id = kD,
                  .assignment_epoch = epoch,
                  .revision = revision,
                  .registration_id = "r1",
                  .content_sha256 = std::move(content)}};
}
DocumentKey document(const char* id, std::int64_t epoch, std::int64_t revision, std::string content = "one",
                     std::string registration = "r1") {
  return {.deployment_id = id,
          .assignment_epoch = epoch,
          .revision = revision,
          .registration_id = std::move(registration),
          .content_sha256 = std::move(content)};
}

// covers: S02_EEA_REC_001
TEST(Decision, follows_the_table_of_the_reconciler) {
  const struct {
    const char* what;
    std::optional<HeldKey> held;
    DocumentKey input;
    Decision pull, push;
  } rows[] = {
      {"nothing is held", {}, document(kD, 1, 1), Decision::deploy, Decision::deploy},
      {"the same", held(4, 2), document(kD, 4, 2), Decision::nothing, Decision::nothing},
      {"higher epoch, same content", held(4, 2), document(kD, 5, 2), Decision::adopt, Decision::adopt},
      {"higher epoch, other content", held(4, 2), document(kD, 5, 2, "two"), Decision::upgrade, Decision::upgrade},
      {"higher revision", held(4, 2), document(kD, 4, 3, "two"), Decision::upgrade, Decision::upgrade},
      {"higher revision, same content", held(4, 2), document(kD, 4, 3), Decision::upgrade, Decision::upgrade},
      {"older epoch", held(4, 2), document(kD, 3, 9), Decision::older, Decision::older},
      {"older revision", held(4, 2), document(kD, 4, 1), Decision::older, Decision::older},
      {"another deployment", held(4, 2), document(kE, 9, 1), Decision::replace, Decision::held_by_other},
      {"lower epoch after a registration", held(4, 2), document(kD, 3, 2, "one", "r2"), Decision::adopt,
       Decision::adopt},
  };
  for (const auto& row : rows) {
    EXPECT_EQ(decide(row.held, row.input, DocumentPath::pull), row.pull) << row.what;
    EXPECT_EQ(decide(row.held, row.input, DocumentPath::push), row.push) << row.what;
  }
}

TEST(Decision, what_failed_is_not_tried_again_under_its_own_key) {
  HeldKey failed = held(4, 2);
  failed.usable = false;
  EXPECT_EQ(decide(failed, document(kD, 4, 2), DocumentPath::pull), Decision::nothing);
  EXPECT_EQ(decide(failed, document(kD, 4, 2, "two"), DocumentPath::pull), Decision::nothing);
  EXPECT_EQ(decide(failed, document(kD, 5, 2), DocumentPath::pull), Decision::upgrade);
  EXPECT_EQ(decide(failed, document(kD, 4, 3), DocumentPath::pull), Decision::upgrade);
}

TEST(Decision, the_automatic_rollback_finds_the_old_containers_running) {
  HeldKey rolled_back = held(4, 3);  // revision 3 failed; revision 2 with content `one` was started again
  rolled_back.rolled_back = true;
  EXPECT_EQ(decide(rolled_back, document(kD, 4, 4), DocumentPath::pull), Decision::adopt);
  EXPECT_EQ(decide(rolled_back, document(kD, 4, 4, "two"), DocumentPath::pull), Decision::upgrade);
  EXPECT_EQ(decide(rolled_back, document(kD, 4, 3, "two"), DocumentPath::pull), Decision::nothing);
}

}  // namespace
}  // namespace ee::agent
