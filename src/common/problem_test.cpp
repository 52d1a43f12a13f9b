#include "common/problem.h"

#include <gtest/gtest.h>

#include <boost/json/value.hpp>

#include "common/json.h"

namespace ee {
namespace {

boost::json::object problem(const Error& error) {
  auto parsed = json::parse(problem_json(error, "req-12345678"));
  return parsed ? parsed->as_object() : boost::json::object{};
}

TEST(Problem, HasTheMembersOfRfc9457AndOurs) {
  const auto body = problem({.code = ErrorCode::vm_name_in_use, .detail = "The name vm-1 is taken."});
  EXPECT_EQ(body.at("type"), "https://easyenclave.dev/problems/vm_name_in_use");
  EXPECT_EQ(body.at("title"), "The machine name is in use.");
  EXPECT_EQ(body.at("status"), 409);
  EXPECT_EQ(body.at("detail"), "The name vm-1 is taken.");
  EXPECT_EQ(body.at("code"), "vm_name_in_use");
  EXPECT_EQ(body.at("request_id"), "req-12345678");
  EXPECT_FALSE(body.contains("errors"));
}

TEST(Problem, ListsEveryWrongField) {
  const auto body = problem({.code = ErrorCode::invalid_request,
                             .detail = "2 fields are not acceptable.",
                             .fields = {{"capacity.vcpus", "below_min", "0 is below the minimum 1"},
                                        {"extra\"name", "unknown_field", "is not a field of this object"}}});
  const auto& errors = body.at("errors").as_array();
  ASSERT_EQ(errors.size(), 2U);
  EXPECT_EQ(errors[0].at("field"), "capacity.vcpus");
  EXPECT_EQ(errors[0].at("code"), "below_min");
  EXPECT_EQ(errors[0].at("detail"), "0 is below the minimum 1");
  EXPECT_EQ(errors[1].at("field"), "extra\"name");
}

TEST(Problem, AddsTheMembersOfItsCode) {
  const std::vector<ErrorMember> members = {{"balance", "1.000000"}, {"required", "2.500000"}};
  const auto body = problem({.code = ErrorCode::insufficient_funds, .members = members});
  EXPECT_EQ(body.at("status"), 402);
  EXPECT_EQ(body.at("balance"), "1.000000");
  EXPECT_EQ(body.at("required"), "2.500000");
  EXPECT_FALSE(problem({.code = ErrorCode::internal_error, .members = members}).contains("balance"));
}

TEST(Problem, TellsReasonsAsJson) {
  const auto counted = problem({.code = ErrorCode::no_capacity, .members = {{"reasons", R"({"agent_unhealthy":3})"}}});
  EXPECT_EQ(counted.at("reasons").at("agent_unhealthy"), 3);
  const auto listed =
      problem({.code = ErrorCode::agent_not_eligible, .members = {{"reasons", R"(["agent_unhealthy"])"}}});
  EXPECT_EQ(listed.at("reasons").at(0), "agent_unhealthy");
}

TEST(Problem, ShowsNothingInternalWithAServerError) {
  for (const ErrorInfo& info : error_table()) {
    // What an operator says of maintenance is for everybody.
    if (info.http_status < 500 || info.code == ErrorCode::maintenance) continue;
    const auto body = problem({.code = info.code, .detail = "disk /dev/sdb1 is full", .fields = {{"a", "b", "c"}}});
    EXPECT_FALSE(body.contains("detail")) << info.slug;
    EXPECT_FALSE(body.contains("errors")) << info.slug;
    EXPECT_EQ(body.at("status"), info.http_status);
  }
  EXPECT_EQ(problem({.code = ErrorCode::maintenance, .detail = "back at noon"}).at("detail"), "back at noon");
}

// covers: S01_API_001 (the form of the answer), S01_API_007
TEST(Problem, ShowsSlugAndSentenceOnlyWhenEvidenceIsRefused) {
  for (const ErrorInfo& info : error_table()) {
    if (info.area != "attestation" && info.code != ErrorCode::pop_signature_invalid) continue;
    const auto body = problem({.code = info.code, .detail = "MRTD 00112233 is not 44556677"});
    EXPECT_FALSE(body.contains("detail")) << info.slug;
    EXPECT_EQ(body.at("title"), boost::json::string_view(info.title.data(), info.title.size()));
  }
  // A request that cannot be read is explained to whoever sent it.
  const auto body =
      problem({.code = ErrorCode::quote_malformed, .detail = "d", .fields = {{"evidence.quote", "bad_format", "x"}}});
  EXPECT_EQ(body.at("detail"), "d");
  EXPECT_EQ(body.at("errors").as_array().size(), 1U);
}

TEST(Problem, TakesACodeWithoutAStatusForAnInternalError) {
  const Error error{.code = ErrorCode::quote_generation_failed, .detail = "x"};
  EXPECT_EQ(problem_status(error), 500);
  EXPECT_EQ(problem(error).at("code"), "internal_error");
}

TEST(Problem, ScrubsWhatSlippedIntoTheDetail) {
  const auto body = problem({.code = ErrorCode::invalid_request,
                             .detail = "got ee_live_abcdefghijklmnop_0123456789",
                             .fields = {{"sk_live_0123456789", "unknown_field", "eyJhbGciOi.eyJzdWIi.c2ln"}}});
  EXPECT_EQ(body.at("detail"), "got ee_live_abcdefghijklmnop_***");
  EXPECT_EQ(body.at("errors").at(0).at("field"), "sk_***");
  EXPECT_EQ(body.at("errors").at(0).at("detail"), "jwt_***");
}

}  // namespace
}  // namespace ee
