#include "attestation/verify/signed_json.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ee::attestation {
namespace {

const std::string kHex(128, 'a');
const std::string kSigned = "\"signature\":\"" + kHex + "\"";

TEST(SplitSignedJson, CutsTheExactBytes) {
  const std::string document = R"({"a": [1, {"b":"} \" {"}],  "c":{} })";
  const std::string body = "{\"doc\":" + document + "," + kSigned + "}";
  const auto parts = split_signed_json(body, "doc");
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->document, document);
  EXPECT_EQ(to_hex(parts->signature), kHex);
}

TEST(SplitSignedJson, TakesEitherOrderAndAnyWhiteSpace) {
  const std::string body = " {\n\t" + kSigned + " ,\r\n \"doc\" : {} } \n";
  const auto parts = split_signed_json(body, "doc");
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->document, "{}");
}

TEST(SplitSignedJson, RefusesEverythingElse) {
  const std::string upper = "\"signature\":\"" + std::string(128, 'A') + "\"";
  EXPECT_TRUE(split_signed_json("{\"doc\":{}," + upper + "}", "doc"));
  const std::vector<std::string> wrong_bodies = {std::string(),
                                                 std::string("{}"),
                                                 std::string("[]"),
                                                 "{\"doc\":{}}",
                                                 "{" + kSigned + "}",
                                                 "{\"doc\":{}," + kSigned,
                                                 "{\"doc\":{}," + kSigned + "}x",
                                                 "{\"doc\":{}," + kSigned + ",\"more\":1}",
                                                 "{\"doc\":{},\"doc\":{}," + kSigned + "}",
                                                 "{\"doc\":{},\"doc\":{}}",
                                                 "{" + kSigned + "," + kSigned + "}",
                                                 "{\"doc\":[]," + kSigned + "}",
                                                 "{\"doc\":{" + kSigned + "}",
                                                 "{\"do\\u0063\":{}," + kSigned + "}",
                                                 "{\"Doc\":{}," + kSigned + "}",
                                                 "{\"doc\":{},\"SIGNATURE\":\"" + kHex + "\"}",
                                                 "{\"doc\":{},\"signature\":\"" + kHex.substr(2) + "\"}",
                                                 "{\"doc\":{},\"signature\":\"" + kHex + "aa\"}",
                                                 "{\"doc\":{},\"signature\":\"" + std::string(128, 'g') + "\"}",
                                                 "{\"doc\":{},\"signature\":1}",
                                                 "{\"doc\":{\"open\":\"}," + kSigned + "}",
                                                 std::string(100000, '{')};
  for (const std::string& wrong : wrong_bodies) EXPECT_FALSE(split_signed_json(wrong, "doc")) << wrong.substr(0, 60);
}

TEST(JoinSignedJson, MakesWhatIsCut) {
  const std::string body = join_signed_json("doc", R"({"x":1})", kHex);
  const auto parts = split_signed_json(body, "doc");
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->document, R"({"x":1})");
}

}  // namespace
}  // namespace ee::attestation
