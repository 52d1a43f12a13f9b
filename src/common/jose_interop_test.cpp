#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "common/jose.h"
#include "common/json.h"
#include "tests/support/temp_dir.h"

namespace ee::jose {
namespace {

constexpr const char* kScript = "tests/jose_interop/interop.mjs";

bool node_runs(const std::string& verb, const std::filesystem::path& file) {
  const std::string command = "node " + std::string(kScript) + " " + verb + " '" + file.string() + "'";
  return std::system(command.c_str()) == 0;  // NOLINT(cert-env33-c): a test's own program
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string text(const boost::json::object& object, const char* name) {
  return std::string(text_member(object, name).value());
}

// covers: S01_JOSE_002
TEST(JoseInterop, TokensOfAnIndependentLibraryVerifyHereAndOursThere) {
  if (std::system("node --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "node is not installed";
  if (!std::filesystem::exists("tests/jose_interop/node_modules/jose"))
    GTEST_SKIP() << "npm jose is not installed: run `npm ci` in tests/jose_interop";
  const testing::TempDir dir;
  ASSERT_TRUE(node_runs("make", dir / "theirs.json"));
  auto theirs = json::parse(read_file(dir / "theirs.json"));
  ASSERT_TRUE(theirs);

  boost::json::array& cases = theirs->get_object().at("cases").get_array();
  ASSERT_EQ(cases.size(), 16U);
  for (boost::json::value& item : cases) {
    boost::json::object& each = item.get_object();
    const Algorithm algorithm = algorithm_of(text(each, "alg")).value();
    SCOPED_TRACE(to_string(algorithm));
    const auto public_key = PublicKey::from_jwk_text(text(each, "jwk"));
    ASSERT_TRUE(public_key);
    const auto token = UnverifiedToken::parse(text(each, "token"), {.algorithms = {algorithm}});
    ASSERT_TRUE(token);
    EXPECT_EQ(token->kid(), text(each, "kid"));
    const auto verified = token->verify(*public_key);
    ASSERT_TRUE(verified);
    EXPECT_EQ(boost::json::value(verified->claims()), json::parse(text(each, "claims")).value());

    const auto private_key = PrivateKey::from_pem(text(each, "pem"));
    ASSERT_TRUE(private_key);
    const auto ours = sign_compact(*private_key, algorithm, text(each, "kid"), "JWT", text(each, "claims"));
    ASSERT_TRUE(ours);
    each["token"] = *ours;
    each["jwk"] = private_key->public_jwk(text(each, "kid"), algorithm);
    each.erase("pem");
  }
  std::ofstream(dir / "ours.json") << boost::json::serialize(*theirs);
  EXPECT_TRUE(node_runs("check", dir / "ours.json"));
  std::filesystem::remove(dir / "theirs.json");  // holds private keys
}

}  // namespace
}  // namespace ee::jose
