#pragma once
#include <array>
#include <boost/json/value.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/json.h"

/// DTOs of the tests of json.h: one member of every kind, and a rule of every kind.
namespace ee::json {

enum class CheckStatus { passing, failing };
BOOST_DESCRIBE_ENUM(CheckStatus, passing, failing)

struct Capacity {
  std::int32_t vcpus = 0;
  std::int64_t disk_mib = 0;
  std::uint8_t gpus = 0;
};
BOOST_DESCRIBE_STRUCT(Capacity, (), (vcpus, disk_mib, gpus))
constexpr auto json_rules(For<Capacity>) { return std::array{field("vcpus").between(1, 256).describe("virtual CPUs")}; }
constexpr std::string_view json_name(For<Capacity>) { return "Capacity"; }

struct Check {
  std::string name;
  CheckStatus status = CheckStatus::passing;
};
BOOST_DESCRIBE_STRUCT(Check, (), (name, status))

/// With a list and a map that have defaults.
struct Chosen {
  std::vector<std::string> names = {"a", "b"};
  std::map<std::string, std::string> labels = {{"a", "b"}};
};
BOOST_DESCRIBE_STRUCT(Chosen, (), (names, labels))
constexpr auto json_rules(For<Chosen>) { return std::array{field("names").defaulted(), field("labels").defaulted()}; }

struct Sample {
  std::string vm_name;
  AgentId id;
  Capacity capacity;
  std::vector<Check> checks;
  std::optional<std::string> note;
  UtcTime started_at;
  UsdMicros price;
  std::map<std::string, std::string> labels;
  std::string nonce;
  std::optional<std::string> blob;
  std::optional<std::string> link;
  std::optional<std::string> version;
  std::optional<std::vector<std::string>> tags;
  boost::json::value extra;
  bool default_ = false;
};
BOOST_DESCRIBE_STRUCT(Sample, (),
                      (vm_name, id, capacity, checks, note, started_at, price, labels, nonce, blob, link, version, tags,
                       extra, default_))

inline bool is_digits(std::string_view text) { return text.find_first_not_of("0123456789") == std::string_view::npos; }

constexpr auto json_rules(For<Sample>) {
  return std::array{field("vm_name").dns_label(),
                    field("id").uuid(),
                    field("note").length(1, 10),
                    field("price").between(0, 100000000),
                    field("labels").items(0, 2),
                    field("nonce").hex(32),
                    field("blob").base64(7),
                    field("link").url(),
                    field("version").matching(is_digits, "^[0-9]*$"),
                    field("tags").items(1, 3)};
}
constexpr std::string_view json_name(For<Sample>) { return "SampleRequest"; }

inline constexpr char kWholeSample[] =
    R"({"vm_name":"vm-1","id":"0190a000-0000-7000-8000-000000000001",)"
    R"("capacity":{"vcpus":4,"disk_mib":9223372036854775807,"gpus":255},)"
    R"("checks":[{"name":"a","status":"passing"},{"name":"b","status":"failing"}],)"
    "\"note\":\"n\xC3\xA9\","
    R"("started_at":"2026-01-02T03:04:05.678Z","price":"12.345000","labels":{"zone":"a"},)"
    R"("nonce":"00112233445566778899aabbccddeeff","blob":"AAEC","link":"https://example.com/x?y=1","version":"12",)"
    R"("tags":["t"],"extra":{"x":[1,2]},"default":true})";

struct Optionals {
  std::optional<std::int32_t> number;
  std::optional<std::optional<std::string>> patch;
  std::int32_t limit = 50;
};
BOOST_DESCRIBE_STRUCT(Optionals, (), (number, patch, limit))
constexpr auto json_rules(For<Optionals>) { return std::array{field("limit").between(1, 200).defaulted()}; }
constexpr std::string_view json_name(For<Optionals>) { return "Optionals"; }

struct Login {
  Secret password;
};
BOOST_DESCRIBE_STRUCT(Login, (), (password))

struct Workload {
  std::string op, deployment_id, compose_sha256, app;
};
BOOST_DESCRIBE_STRUCT(Workload, (), (op, deployment_id, compose_sha256, app))

struct Tree {
  std::string name;
  std::vector<Tree> children;
};
BOOST_DESCRIBE_STRUCT(Tree, (), (name, children))
constexpr std::string_view json_name(For<Tree>) { return "Tree"; }

}  // namespace ee::json
