#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "common/json.h"
#include "cp/integration/stripe/webhook_signature.h"
#include "tests/standins/stripe/stripe.h"
#include "tests/support/temp_dir.h"

namespace ee::cp::stripe {
namespace {

constexpr const char* kScript = "tests/stripe_interop/interop.mjs";
constexpr std::int64_t kNow = 1'767'225'600;

bool node_runs(const std::string& verb, const std::filesystem::path& file) {
  const std::string command = "node " + std::string(kScript) + " " + verb + " '" + file.string() + "'";
  return std::system(command.c_str()) == 0;  // NOLINT(cert-env33-c): a test's own program
}

std::string text(const boost::json::object& object, const char* name) {
  return std::string(object.at(name).as_string());
}

// covers: S04_STR_SIG_001
TEST(StripeInterop, SignaturesOfStripesOwnLibraryAreTakenHereAndOursThere) {
  if (std::system("node --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "node is not installed";
  if (!std::filesystem::exists("tests/stripe_interop/node_modules/stripe"))
    GTEST_SKIP() << "npm stripe is not installed: run `npm ci` in tests/stripe_interop";
  const testing::TempDir dir;
  ASSERT_TRUE(node_runs("make", dir / "theirs.json"));
  std::ifstream in(dir / "theirs.json", std::ios::binary);
  const std::string theirs{std::istreambuf_iterator<char>(in), {}};
  const auto document = json::parse(theirs);
  ASSERT_TRUE(document);
  const UtcTime now{Seconds(kNow)};

  boost::json::array ours;
  for (const auto& item : document->at("cases").as_array()) {
    const auto& each = item.as_object();
    const std::vector<Secret> secrets = {Secret("whsec_another"), Secret(text(each, "secret"))};
    const std::string payload = text(each, "payload");
    EXPECT_TRUE(verify_webhook(payload, text(each, "header"), secrets, now, Seconds(300))) << text(each, "header");
    EXPECT_FALSE(verify_webhook(payload + " ", text(each, "header"), secrets, now, Seconds(300)));

    const std::string header = standins::stripe_signature_header(payload, text(each, "secret"), kNow);
    ASSERT_TRUE(verify_webhook(payload, header, secrets, now, Seconds(300)));
    ours.push_back({{"secret", each.at("secret")}, {"payload", payload}, {"header", header}, {"good", true}});
    ours.push_back({{"secret", each.at("secret")}, {"payload", payload + " "}, {"header", header}, {"good", false}});
  }
  std::ofstream(dir / "ours.json") << boost::json::serialize(boost::json::object{{"now", kNow}, {"cases", ours}});
  EXPECT_TRUE(node_runs("check", dir / "ours.json"));
}

}  // namespace
}  // namespace ee::cp::stripe
