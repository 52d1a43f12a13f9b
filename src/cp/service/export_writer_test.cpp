#include "cp/service/export_writer.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <map>

#include "common/bytes.h"
#include "common/crypto.h"
#include "common/fake_clock.h"
#include "tests/support/memory_in_use.h"
#include "tests/support/temp_dir.h"

namespace ee::cp {
namespace {

std::string object(const std::string& text) { return "{\"line\":\"" + text + "\"}"; }

/// The members of an archive, as the system's tar unpacks them.
std::map<std::string, std::string> unpack(const std::string& archive) {
  const testing::TempDir dir;
  std::ofstream(dir / "a.tar.gz", std::ios::binary) << archive;
  const std::string command =
      "cd '" + dir.path().string() + "' && mkdir out && tar --warning=no-timestamp -xzf a.tar.gz -C out";
  EXPECT_EQ(std::system(command.c_str()), 0);  // NOLINT(concurrency-mt-unsafe)
  std::map<std::string, std::string> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir / "out")) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    out[std::filesystem::relative(entry.path(), dir / "out").string()] =
        std::string(std::istreambuf_iterator<char>(file), {});
  }
  return out;
}

class ExportWriterTest : public ::testing::Test {
 protected:
  ByteSink sink() {
    return [this](std::string_view bytes) {
      out_ += bytes;
      return true;
    };
  }
  FakeClock clock_;
  std::string out_;
  const ExportPlace own_{.kind = "control_plane", .path = "control-plane.ndjson"};
};

// covers: S03_LOG_006 (tar opens it, the manifest's hashes match)
TEST_F(ExportWriterTest, S03_LOG_006_an_archive_that_tar_opens_and_whose_hashes_match) {
  const std::string folder = "containers/0190a000-0000-7000-8000-0000000000d1/";
  const std::string long_name = std::string(63, 'n') + ".ndjson";  // more than a plain tar header takes
  const auto writer = archive_writer(sink(), {.part_bytes = 85}, clock_);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(writer->line(own_, object("record " + std::to_string(i))));
  ASSERT_TRUE(writer->document({.kind = "jobs", .path = "jobs.json"}, {R"({"a":1})", R"({"b":2})"}));
  ASSERT_TRUE(writer->document({.kind = "settings", .path = "settings.json"}, {}));
  ASSERT_TRUE(writer->line({.kind = "containers", .path = folder + long_name}, object("hello")));
  writer->error(R"({"part":"containers","code":"agent_unreachable"})");
  writer->finish(R"({"replica_id":"r"})");

  auto members = unpack(out_);
  ASSERT_TRUE(members.contains("manifest.json"));
  const auto manifest = boost::json::parse(members.at("manifest.json"));
  EXPECT_TRUE(manifest.at("complete").as_bool());
  EXPECT_TRUE(manifest.at("stopped_by").is_null());
  EXPECT_EQ(manifest.at("about").at("replica_id").as_string(), "r");
  EXPECT_EQ(manifest.at("lines").as_int64(), 13);
  EXPECT_EQ(manifest.at("members").as_array().size(), members.size() - 1) << "each but the manifest itself";
  for (const auto& member : manifest.at("members").as_array()) {
    const std::string path(member.at("path").as_string());
    ASSERT_TRUE(members.contains(path)) << path;
    EXPECT_EQ(member.at("sha256").as_string(), to_hex(sha256(bytes_of(members.at(path))))) << path;
    EXPECT_EQ(member.at("bytes").as_int64(), static_cast<std::int64_t>(members.at(path).size()));
  }
  EXPECT_EQ(members.at("jobs.json"), "{\"items\":[{\"a\":1},{\"b\":2}]}\n");
  EXPECT_EQ(members.at("settings.json"), "{\"items\":[]}\n");
  EXPECT_EQ(members.at(folder + long_name), object("hello") + "\n");
  EXPECT_EQ(members.at("errors.ndjson"), "{\"part\":\"containers\",\"code\":\"agent_unreachable\"}\n");
  // Parts of 85 bytes: four lines of 20 each.
  EXPECT_EQ(members.at("control-plane.ndjson").size(), 80U);
  EXPECT_TRUE(members.contains("control-plane-0002.ndjson"));
  EXPECT_TRUE(members.contains("control-plane-0003.ndjson"));
}

// covers: S03_LOG_006 (the end line)
TEST_F(ExportWriterTest, S03_LOG_006_lines_with_their_kind_and_an_end) {
  const auto writer = ndjson_writer(sink(), {}, clock_);
  ASSERT_TRUE(writer->line(own_, R"({"a":1})"));
  ASSERT_TRUE(writer->document({.kind = "jobs", .path = "jobs.json"}, {"{}", R"({"b":2})"}));
  writer->error(R"({"code":"agent_unreachable"})");
  writer->finish("{}");
  EXPECT_EQ(out_,
            "{\"kind\":\"control_plane\",\"a\":1}\n{\"kind\":\"jobs\"}\n{\"kind\":\"jobs\",\"b\":2}\n"
            "{\"kind\":\"error\",\"code\":\"agent_unreachable\"}\n"
            "{\"kind\":\"end\",\"ok\":true,\"stopped_by\":null,\"lines\":4,\"about\":{}}\n");
}

TEST_F(ExportWriterTest, ABoundEndsItAndIsTold) {
  for (const bool archive : {true, false}) {
    out_.clear();
    const ExportLimits limits{.raw_bytes = 100, .deadline = clock_.steady_now() + Seconds(60)};
    const auto writer = archive ? archive_writer(sink(), limits, clock_) : ndjson_writer(sink(), limits, clock_);
    int lines = 0;
    while (writer->line(own_, object("0123456789"))) ++lines;
    EXPECT_EQ(lines, 4);
    EXPECT_EQ(writer->stopped(), ExportStop::size);
    EXPECT_FALSE(writer->line(own_, "{}")) << "once it is over it stays so";
    writer->finish("{}");
    const std::string told = archive ? unpack(out_).at("manifest.json") : out_;
    EXPECT_NE(told.find(R"("stopped_by":"size")"), std::string::npos) << told;
  }
  const auto late = ndjson_writer(sink(), {.deadline = clock_.steady_now() + Seconds(60)}, clock_);
  ASSERT_TRUE(late->line(own_, "{}"));
  clock_.advance(Seconds(60));
  EXPECT_FALSE(late->line(own_, "{}"));
  EXPECT_EQ(late->stopped(), ExportStop::time);
}

TEST_F(ExportWriterTest, NothingIsWrittenForNobody) {
  int calls = 0;
  const auto writer = ndjson_writer([&](std::string_view) { return ++calls < 2; }, {}, clock_);
  const std::string big = object(std::string(40'000, 'x'));
  EXPECT_TRUE(writer->line(own_, big));
  EXPECT_FALSE(writer->line(own_, big));
  EXPECT_FALSE(writer->line(own_, big));
  writer->finish("{}");
  EXPECT_EQ(calls, 2) << "no end for a reader that is gone";
  EXPECT_EQ(writer->stopped(), ExportStop::gone);
}

// A whole gibibyte, none of which is kept; the other form: export_streams_test.cpp.
// covers: S03_LOG_007
TEST_F(ExportWriterTest, S03_LOG_007_a_gibibyte_of_lines_needs_less_than_64_mebibytes) {
  constexpr std::uint64_t kGibibyte = 1024ULL * 1024 * 1024;
  const std::string line = object(std::string(60'000, 'x'));
  std::uint64_t sent = 0;
  const ByteSink count = [&](std::string_view bytes) {
    sent += bytes.size();
    return true;
  };
  const std::int64_t before = testing::memory_in_use_kib();
  std::int64_t most = before;
  const auto writer = ndjson_writer(count, {}, clock_);
  while (writer->line(own_, line))
    if (writer->lines() % 256 == 0) most = std::max(most, testing::memory_in_use_kib());
  writer->finish("{}");
  most = std::max(most, testing::memory_in_use_kib());
  EXPECT_EQ(writer->stopped(), ExportStop::size) << "the cap is at a gibibyte";
  EXPECT_GT(writer->raw_bytes(), kGibibyte - 2 * line.size());
  EXPECT_GT(sent, kGibibyte - 2 * line.size());
  EXPECT_LT(most - before, 64 * 1024) << "KiB of growth";
}

}  // namespace
}  // namespace ee::cp
