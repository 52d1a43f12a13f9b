#include "common/json.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "common/json_test_types.h"

namespace ee::json {
namespace {

ErrorCode code_of(std::string_view text, const Limits& limits = {}) {
  const auto parsed = parse(text, limits);
  return parsed ? ErrorCode::not_found : parsed.error().code;
}
constexpr ErrorCode kAccepted = ErrorCode::not_found;

std::string nested(std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(JsonParse, ReadsWhatRfc8259Allows) {
  for (const char* text : {"null", " true ", "0", "-0", "1.5", "1e3", "\"a\"", "[]", "{}", "[1,[2,{\"a\":null}]]\n",
                           "\"\\u00e9\\ud83d\\ude00\"", "9223372036854775807", "-9223372036854775808"})
    EXPECT_EQ(code_of(text), kAccepted) << text;
}

TEST(JsonParse, RefusesWhatIsNotJson) {
  for (const char* text :
       {"",      " ",   "{",   "[1,]", "{\"a\":1,}", "{a:1}",   "'a'",      "01",     "1.",      ".5",
        "+1",    "0x1", "nul", "NaN",  "Infinity",   "// c\n1", "/* c */1", "\"\t\"", "\"\\x\"", "\xEF\xBB\xBF{}",
        "[1 2]", "\"a"})
    EXPECT_EQ(code_of(text), ErrorCode::invalid_json) << text;
}

TEST(JsonParse, RefusesDuplicateKeysAtEveryLevel) {
  EXPECT_EQ(code_of(R"({"a":1,"a":1})"), ErrorCode::invalid_json);
  EXPECT_EQ(code_of(R"({"a":1,"\u0061":2})"), ErrorCode::invalid_json);
  EXPECT_EQ(code_of(R"([{"x":{"a":1,"b":2,"a":3}}])"), ErrorCode::invalid_json);
  EXPECT_EQ(code_of(R"({"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]})"), kAccepted);
}

TEST(JsonParse, RefusesTrailingData) {
  for (const char* text : {"{} {}", "1 2", "{}x", "[]]", "null,", "{}\x01"})
    EXPECT_EQ(code_of(text), ErrorCode::invalid_json) << text;
  EXPECT_EQ(code_of(std::string("{}") + '\0'), ErrorCode::invalid_json);
  EXPECT_EQ(code_of("{} \r\n\t "), kAccepted);
}

TEST(JsonParse, RefusesBrokenUtf8AndSurrogates) {
  for (const char* text : {"\"\x80\"", "\"\xC0\xAF\"", "\"\xED\xA0\x80\"", "\"\xF5\x80\x80\x80\"", "\"\xE2\x82\"",
                           R"("\ud800")", R"("\udc00")", R"("\ud800\u0041")", "{\"\xFF\":1}"})
    EXPECT_EQ(code_of(text), ErrorCode::invalid_json) << text;
}

TEST(JsonParse, RefusesNumbersThatAnInt64CannotHold) {
  for (const char* text :
       {"9223372036854775808", "-9223372036854775809", "18446744073709551615", "18446744073709551616", "1e400",
        "-1e400", "1e19", "[1,2,1e309]", "123456789012345678901234567890", "1e99999999999"})
    EXPECT_EQ(code_of(text), ErrorCode::invalid_json) << text;
}

TEST(JsonParse, BoundsDepthNodesAndBytes) {
  EXPECT_EQ(code_of(nested(32)), kAccepted);
  EXPECT_EQ(code_of(nested(33)), ErrorCode::invalid_json);
  EXPECT_EQ(code_of(nested(500000)), ErrorCode::invalid_json);
  EXPECT_EQ(code_of("[1,2,3]", {.max_nodes = 4}), kAccepted);
  EXPECT_EQ(code_of("[1,2,3]", {.max_nodes = 3}), ErrorCode::invalid_json);
  std::string many = "[1";
  for (int i = 2; i < 100000; ++i) many += ",1";
  EXPECT_EQ(code_of(many + "]"), kAccepted);
  EXPECT_EQ(code_of(many + ",1]"), ErrorCode::invalid_json);
  EXPECT_EQ(code_of("[1,2]", {.max_bytes = 5}), kAccepted);
  EXPECT_EQ(code_of("[1,2]", {.max_bytes = 4}), ErrorCode::invalid_json);
}

TEST(JsonParse, SaysWhereAndWhyWithoutRepeatingContent) {
  const auto parsed = parse(R"({"password":"hunter2","password":"hunter3"})");
  ASSERT_FALSE(parsed);
  EXPECT_NE(parsed.error().detail.find("same key twice"), std::string::npos) << parsed.error().detail;
  EXPECT_EQ(parsed.error().detail.find("hunter"), std::string::npos);
  EXPECT_EQ(parsed.error().detail.find("password"), std::string::npos);
}

TEST(JsonRead, ReadsEveryKindOfMember) {
  const auto read_back = read<Sample>(kWholeSample);
  ASSERT_TRUE(read_back) << read_back.error().detail;
  EXPECT_EQ(read_back->vm_name, "vm-1");
  EXPECT_EQ(read_back->id, AgentId("0190a000-0000-7000-8000-000000000001"));
  EXPECT_EQ(read_back->capacity.vcpus, 4);
  EXPECT_EQ(read_back->capacity.disk_mib, 9223372036854775807);
  EXPECT_EQ(read_back->capacity.gpus, 255);
  EXPECT_EQ(read_back->checks.at(1).name, "b");
  EXPECT_EQ(read_back->checks.at(1).status, CheckStatus::failing);
  EXPECT_EQ(read_back->note, "n\xC3\xA9");
  EXPECT_EQ(to_rfc3339(read_back->started_at), "2026-01-02T03:04:05.678Z");
  EXPECT_EQ(read_back->price.value, 12345000);
  EXPECT_EQ(read_back->labels.at("zone"), "a");
  EXPECT_EQ(boost::json::serialize(read_back->extra), R"({"x":[1,2]})");
  EXPECT_TRUE(read_back->default_);
}

TEST(JsonRead, WritesWhatItReads) {
  const auto sample = read<Sample>(kWholeSample);
  ASSERT_TRUE(sample);
  EXPECT_EQ(write(*sample), kWholeSample);
  const auto again = read<Sample>(write(*sample));
  ASSERT_TRUE(again);
  EXPECT_EQ(write(*again), kWholeSample);
}

TEST(JsonRead, TakesAbsentAndNullForAnEmptyOptional) {
  EXPECT_EQ(read<Optionals>("{}")->number, std::nullopt);
  EXPECT_EQ(read<Optionals>(R"({"number":null})")->number, std::nullopt);
  EXPECT_EQ(read<Optionals>(R"({"number":7})")->number, 7);
  EXPECT_EQ(write(Optionals{}), R"({"number":null,"patch":null,"limit":50})");
}

TEST(JsonRead, TellsAbsentFromNullWhenAsked) {
  EXPECT_FALSE(read<Optionals>("{}")->patch.has_value());
  const auto null = read<Optionals>(R"({"patch":null})");
  ASSERT_TRUE(null->patch.has_value());
  EXPECT_FALSE(null->patch->has_value());
  EXPECT_EQ(**read<Optionals>(R"({"patch":"x"})")->patch, "x");
}

TEST(JsonRead, KeepsTheDefaultOfAMemberThatMayBeAbsent) {
  EXPECT_EQ(read<Optionals>("{}")->limit, 50);
  EXPECT_EQ(read<Optionals>(R"({"limit":3})")->limit, 3);
  EXPECT_FALSE(read<Optionals>(R"({"limit":null})"));
}

TEST(JsonRead, ReplacesTheDefaultOfAListAndOfAMap) {
  EXPECT_EQ(read<Chosen>("{}")->names, (std::vector<std::string>{"a", "b"}));
  const auto chosen = read<Chosen>(R"({"names":["c"],"labels":{"z":"1"}})");
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->names, std::vector<std::string>{"c"});
  EXPECT_EQ(chosen->labels, (std::map<std::string, std::string>{{"z", "1"}}));
}

TEST(JsonRead, ReadsASecretAndNeverWritesOne) {
  const auto login = read<Login>(R"({"password":"p"})");
  ASSERT_TRUE(login);
  EXPECT_EQ(login->password.reveal(), "p");
  static_assert(detail::holds_secret<Login>());
  static_assert(!detail::holds_secret<Sample>());
}

std::map<std::string, std::string> problems(const Result<Sample>& result) {
  std::map<std::string, std::string> out;
  if (result) return {{"", "accepted"}};
  EXPECT_EQ(result.error().code, ErrorCode::invalid_request);
  for (const FieldError& field : result.error().fields) out[field.field] = field.code;
  return out;
}

TEST(JsonRead, GathersEveryProblemWithItsPath) {
  const auto found = problems(read<Sample>(R"({
    "vm_name":"-bad-","id":"no","capacity":{"vcpus":0,"disk_mib":"1","gpus":256,"colour":"red"},
    "checks":[{"name":"a","status":"passing"},{"name":7,"status":"odd"},{"status":"passing"}],
    "note":5,"started_at":"yesterday","price":1,"labels":{"zone":1},"nonce":"AB","blob":"*","link":"ftp://x",
    "tags":["a","b","c","d"],"extra":1,"surplus":1})"));
  const std::map<std::string, std::string> wanted = {{"vm_name", "bad_format"},
                                                     {"id", "bad_format"},
                                                     {"capacity.vcpus", "below_min"},
                                                     {"capacity.disk_mib", "wrong_type"},
                                                     {"capacity.gpus", "above_max"},
                                                     {"capacity.colour", "unknown_field"},
                                                     {"checks[1].name", "wrong_type"},
                                                     {"checks[1].status", "not_in_enum"},
                                                     {"checks[2].name", "required"},
                                                     {"note", "wrong_type"},
                                                     {"started_at", "bad_format"},
                                                     {"price", "wrong_type"},
                                                     {"labels[zone]", "wrong_type"},
                                                     {"nonce", "bad_format"},
                                                     {"blob", "bad_format"},
                                                     {"link", "bad_format"},
                                                     {"tags", "too_many"},
                                                     {"default", "required"},
                                                     {"surplus", "unknown_field"}};
  EXPECT_EQ(found, wanted);
}

/// The whole sample with one member replaced.
Result<Sample> with(const std::string& member, const std::string& value) {
  boost::json::value sample = *parse(kWholeSample);
  sample.as_object()[member] = *parse(value);
  return read<Sample>(boost::json::serialize(sample));
}
std::string only_problem(const Result<Sample>& result) {
  const auto found = problems(result);
  return found.size() == 1 ? found.begin()->first + " " + found.begin()->second : std::to_string(found.size());
}

struct BadValue {
  const char* member;
  const char* value;
  const char* problem;
};

TEST(JsonRead, RefusesEachValueForItsOwnReason) {
  const BadValue rows[] = {
      {"vm_name", "null", "vm_name wrong_type"},
      {"vm_name", "[\"vm-1\"]", "vm_name wrong_type"},
      {"vm_name", "\"VM-1\"", "vm_name bad_format"},
      {"vm_name", "\"vm_1\"", "vm_name bad_format"},
      {"vm_name", "\"a\\u0000\"", "vm_name bad_format"},
      {"id", "\"0190A000-0000-7000-8000-000000000001\"", "id bad_format"},
      {"capacity", "null", "capacity wrong_type"},
      {"capacity", "[]", "capacity wrong_type"},
      {"checks", "{}", "checks wrong_type"},
      {"checks", "[null]", "checks[0] wrong_type"},
      {"note", "\"\"", "note too_short"},
      {"note", "\"12345678901\"", "note too_long"},
      {"started_at", "1700000000", "started_at wrong_type"},
      {"started_at", "\"2026-13-01T00:00:00Z\"", "started_at bad_format"},
      {"price", "12.5", "price wrong_type"},
      {"price", "\"1.2345678\"", "price bad_format"},
      {"price", "\"-0.000001\"", "price below_min"},
      {"price", "\"100.000001\"", "price above_max"},
      {"labels", "[]", "labels wrong_type"},
      {"labels", R"({"a":"1","b":"2","c":"3"})", "labels too_many"},
      {"nonce", "\"00112233445566778899aabbccddeeff0\"", "nonce bad_format"},
      {"nonce", "\"00112233445566778899AABBCCDDEEFF\"", "nonce bad_format"},
      {"blob", "\"AAECAwQFBgc=\"", "blob too_long"},
      {"blob", "\"AAEC=\"", "blob bad_format"},
      {"blob", "\"AAEC\\n\"", "blob bad_format"},
      {"blob", "\"AA EC\"", "blob bad_format"},
      {"link", "\"https://user:pw@host/\"", "link bad_format"},
      {"link", "\"/relative\"", "link bad_format"},
      {"link", "\"javascript:alert(1)\"", "link bad_format"},
      {"version", "\"1.x\"", "version bad_format"},
      {"tags", "[]", "tags too_short"},
      {"default", "1", "default wrong_type"},
      {"default", "\"true\"", "default wrong_type"},
  };
  ASSERT_TRUE(with("note", "\"ok\""));
  for (const BadValue& row : rows) EXPECT_EQ(only_problem(with(row.member, row.value)), row.problem) << row.value;
}

TEST(JsonRead, AcceptsTheEdgesOfEveryBound) {
  for (const auto& [member, value] : std::initializer_list<std::pair<const char*, const char*>>{
           {"note", "\"1\""},
           {"note", "\"1234567890\""},
           {"note", "\"\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9\""},
           {"price", "\"0\""},
           {"price", "\"100\""},
           {"blob", "\"\""},
           {"blob", "\"AAECAwQFBg==\""},
           {"tags", "[\"a\"]"},
           {"tags", "[\"a\",\"b\",\"c\"]"},
           {"labels", "{}"},
           {"link", "\"http://127.0.0.1:8080\""}})
    EXPECT_TRUE(with(member, value)) << member << " " << value;
}

TEST(JsonRead, RefusesAnIntegerWrittenAsAFraction) {
  EXPECT_EQ(read<Optionals>(R"({"number":1.0})").error().fields.at(0).code, "wrong_type");
  EXPECT_EQ(read<Optionals>(R"({"number":1e2})").error().fields.at(0).code, "wrong_type");
}

TEST(JsonRead, RefusesAnotherTopLevelValue) {
  for (const char* text : {"[]", "null", "1", "\"{}\""}) {
    const auto result = read<Optionals>(text);
    ASSERT_FALSE(result) << text;
    EXPECT_EQ(result.error().code, ErrorCode::invalid_request);
    EXPECT_EQ(result.error().fields.at(0), (FieldError{"", "wrong_type", "must be an object"}));
  }
}

TEST(JsonRead, NeverRepeatsATextOfTheInput) {
  const auto result =
      read<Sample>(R"({"vm_name":"hunter2!","nonce":"hunter2","note":"hunter2hunter2","link":"hunter2"})");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().detail.find("hunter2"), std::string::npos);
  for (const FieldError& field : result.error().fields) EXPECT_EQ(field.detail.find("hunter2"), std::string::npos);
}

TEST(JsonRead, BoundsTheNumberAndLengthOfProblems) {
  std::string text = "{";
  for (int i = 0; i < 1000; ++i) text += (i == 0 ? "\"" : ",\"") + std::string(500, 'k') + std::to_string(i) + "\":1";
  const auto result = read<Optionals>(text + "}");
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().fields.size(), 50U);
  for (const FieldError& field : result.error().fields) EXPECT_LE(field.field.size(), 70U);
}

TEST(JsonWrite, EscapesAndRepairsText) {
  EXPECT_EQ(quote("a\"\\/\b\f\n\r\t\x01\x1f\x7f"), "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
  EXPECT_EQ(quote("\xC3\xA9\xF0\x9F\x98\x80"), "\"\xC3\xA9\xF0\x9F\x98\x80\"");
  EXPECT_EQ(quote("a\xFFz\xC3"), "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\"");
  EXPECT_TRUE(parse(quote(std::string("\x00\xED\xA0\x80\xF4\x90\x80\x80", 8))));
}

// RFC 8785 section 3.2.3 gives this input and order.
TEST(JsonCanonical, SortsKeysByUtf16CodeUnits) {
  const auto value = parse(R"({"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",
    "1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control",
    "\u00f6":"Latin Small Letter O With Diaeresis"})");
  ASSERT_TRUE(value);
  EXPECT_EQ(*canonical(*value),
            "{\"\\r\":\"Carriage Return\",\"1\":\"One\",\"\xC2\x80\":\"Control\",\"\xC3\xB6\":\"Latin Small Letter O "
            "With Diaeresis\",\"\xE2\x82\xAC\":\"Euro Sign\",\"\xF0\x9F\x98\x80\":\"Emoji: Grinning "
            "Face\",\"\xEF\xAC\xB3\":\"Hebrew Letter Dalet With Dagesh\"}");
}

TEST(JsonCanonical, RefusesNumbersThatPrintDifferentlyElsewhere) {
  EXPECT_EQ(*canonical(*parse("[-9007199254740991,9007199254740991,0,true,null,{}]")),
            "[-9007199254740991,9007199254740991,0,true,null,{}]");
  EXPECT_FALSE(canonical(*parse("9007199254740992")));
  EXPECT_FALSE(canonical(*parse("[{\"a\":1.5}]")));
}

// The payload of 01 section 12.4, 168 bytes.
TEST(JsonCanonical, GivesTheWorkloadPayload) {
  const Workload workload{"deploy", "0190a000-0000-7000-8000-000000000001",
                          "abababababababababababababababababababababababababababababababab", "hello"};
  const auto text = canonical_of(workload);
  ASSERT_TRUE(text);
  EXPECT_EQ(*text,
            R"({"app":"hello","compose_sha256":"abababababababababababababababababababababababababababababababab",)"
            R"("deployment_id":"0190a000-0000-7000-8000-000000000001","op":"deploy"})");
  EXPECT_EQ(text->size(), 168U);
}

}  // namespace
}  // namespace ee::json
