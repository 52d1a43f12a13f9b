#include <gtest/gtest.h>

#include <boost/json/value.hpp>

#include "common/json.h"
#include "common/json_test_types.h"

namespace ee::json {
namespace {

boost::json::value component(const SchemaSet& set, const std::string& name) {
  return *parse(set.components().at(name));
}

TEST(JsonSchema, DescribesEveryKindOfMember) {
  SchemaSet set;
  EXPECT_EQ(schema<Sample>(set, SchemaUse::request), R"({"$ref":"#/components/schemas/SampleRequest"})");
  const auto wanted = *parse(R"({
    "type":"object","additionalProperties":false,
    "required":["vm_name","id","capacity","checks","started_at","price","labels","nonce","extra","default"],
    "properties":{
      "vm_name":{"type":"string","pattern":"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"},
      "id":{"type":"string","format":"uuid"},
      "capacity":{"$ref":"#/components/schemas/CapacityInput"},
      "checks":{"type":"array","items":{"type":"object","additionalProperties":false,"required":["name","status"],
        "properties":{"name":{"type":"string"},"status":{"type":"string","enum":["passing","failing"]}}}},
      "note":{"type":["string","null"],"minLength":1,"maxLength":10},
      "started_at":{"type":"string","format":"date-time"},
      "price":{"type":"string","pattern":"^-?[0-9]{1,13}(\\.[0-9]{1,6})?$"},
      "labels":{"type":"object","additionalProperties":{"type":"string"}},
      "nonce":{"type":"string","pattern":"^[0-9a-f]{32}$"},
      "blob":{"type":["string","null"],"contentEncoding":"base64","maxLength":12},
      "link":{"type":["string","null"],"format":"uri"},
      "version":{"type":["string","null"],"pattern":"^[0-9]*$"},
      "tags":{"type":["array","null"],"items":{"type":"string"},"minItems":1,"maxItems":3},
      "extra":{},
      "default":{"type":"boolean"}}})");
  EXPECT_EQ(component(set, "SampleRequest"), wanted);
  EXPECT_EQ(component(set, "CapacityInput"), *parse(R"({
    "type":"object","additionalProperties":false,"required":["vcpus","disk_mib","gpus"],
    "properties":{
      "vcpus":{"type":"integer","format":"int32","minimum":1,"maximum":256,"description":"virtual CPUs"},
      "disk_mib":{"type":"integer","format":"int64"},
      "gpus":{"type":"integer","format":"int32","minimum":0,"maximum":255}}})"));
}

TEST(JsonSchema, SaysThatAnAnswerHasEveryMember) {
  SchemaSet set;
  EXPECT_EQ(schema<Optionals>(set, SchemaUse::answer), R"({"$ref":"#/components/schemas/Optionals"})");
  EXPECT_EQ(component(set, "Optionals"), *parse(R"({"type":"object","required":["number","patch","limit"],"properties":{
    "number":{"type":["integer","null"],"format":"int32"},"patch":{"type":["string","null"]},
    "limit":{"type":"integer","format":"int32","minimum":1,"maximum":200}}})"));
  schema<Optionals>(set, SchemaUse::request);
  EXPECT_FALSE(component(set, "OptionalsInput").as_object().contains("required"));
}

TEST(JsonSchema, FollowsATypeThatContainsItself) {
  SchemaSet set;
  schema<Tree>(set, SchemaUse::answer);
  EXPECT_EQ(component(set, "Tree").at("properties").at("children").at("items").at("$ref"), "#/components/schemas/Tree");
  const auto tree = read<Tree>(R"({"name":"a","children":[{"name":"b","children":[]}]})");
  ASSERT_TRUE(tree);
  EXPECT_EQ(tree->children.at(0).name, "b");
}

TEST(JsonSchema, MarksASecretAsWriteOnly) {
  SchemaSet set;
  EXPECT_EQ(parse(schema<Login>(set, SchemaUse::request))->at("properties").at("password").at("writeOnly"), true);
}

TEST(JsonSchema, RefusesTwoComponentsOfOneName) {
  SchemaSet set;
  EXPECT_TRUE(set.add("A", "{}"));
  EXPECT_TRUE(set.add("A", "{}"));
  EXPECT_FALSE(set.add("A", "[]"));
}

}  // namespace
}  // namespace ee::json
