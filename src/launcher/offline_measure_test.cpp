#include "launcher/offline_measure.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/json/value.hpp>
#include <fstream>

#include "common/json.h"
#include "tests/support/child_process.h"
#include "tests/support/tdvf_maker.h"
#include "tests/support/temp_dir.h"

namespace ee::launcher {
namespace {

class OfflineMeasure : public ::testing::Test {
 protected:
  OfflineMeasure() {
    write("firmware.fd", ee::testing::vector_tdvf());
    write("bad.fd", ByteVector(8192));
    write("kernel", ee::testing::make_pe());
    write("initrd", ByteVector(100, 1));
  }
  void write(const std::string& name, const ByteVector& bytes) {
    std::ofstream(dir_ / name, std::ios::binary) << text_of(bytes);
  }
  std::string path(const std::string& name) const { return (dir_ / name).string(); }

  struct Ended {
    int exit_code = -1;
    std::string output;
  };
  /// The real program.
  Ended run(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), ee::testing::program("ee-launcher"));
    ee::testing::ChildProcess process(arguments, {}, dir_ / "output");
    const auto code = process.wait(30000);
    return {.exit_code = code.value_or(-1), .output = process.output()};
  }
  Ended measure(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "measure");
    return run(std::move(arguments));
  }

  ee::testing::TempDir dir_;
};

TEST_F(OfflineMeasure, S01_TDVF_004_exit_codes) {
  const std::string firmware = path("firmware.fd");
  const std::string mrtd = ee::testing::kVectorMrtdSingle;

  const Ended plain = measure({"--firmware", firmware});
  EXPECT_EQ(plain.exit_code, 0);
  EXPECT_EQ(plain.output, "mrtd   " + mrtd + "\n");
  EXPECT_EQ(measure({"--firmware", firmware, "--expect-mrtd", mrtd}).exit_code, 0);
  EXPECT_EQ(
      measure({"--firmware", firmware, "--page-order", "two-pass", "--expect-mrtd", ee::testing::kVectorMrtdTwoPass})
          .exit_code,
      0);
  const Ended differs = measure({"--firmware", firmware, "--expect-mrtd", ee::testing::kVectorMrtdTwoPass});
  EXPECT_EQ(differs.exit_code, 1);
  EXPECT_NE(differs.output.find("differs"), std::string::npos) << differs.output;

  for (const std::vector<std::string>& usage : std::vector<std::vector<std::string>>{
           {},
           {"--firmware"},
           {"--firmware", firmware, "--unknown"},
           {"--firmware", firmware, "--page-order", "both"},
           {"--firmware", firmware, "--expect-mrtd", "abc"},
           {"--firmware", firmware, "--expect-mrtd", mrtd.substr(2)},
           {"--firmware", firmware, "--kernel", path("kernel")},
           {"--firmware", firmware, "--kernel", path("kernel"), "--initrd", path("initrd")}})
    EXPECT_EQ(measure(usage).exit_code, 2) << ::testing::PrintToString(usage);
  EXPECT_EQ(run({}).exit_code, 2);
  EXPECT_EQ(run({"launch"}).exit_code, 2);
  EXPECT_EQ(run({"--help"}).exit_code, 0);

  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  for (const char* name : {"absent.fd", "bad.fd", ".", "fifo"})
    EXPECT_EQ(measure({"--firmware", path(name)}).exit_code, 3) << name;
  EXPECT_EQ(measure({"--firmware", firmware, "--kernel", path("bad.fd"), "--initrd", path("initrd"), "--cmdline", "x"})
                .exit_code,
            3);
}

TEST_F(OfflineMeasure, WritesJson) {
  const Ended ended = measure({"--firmware", path("firmware.fd"), "--kernel", path("kernel"), "--initrd",
                               path("initrd"), "--cmdline", "console=ttyS0", "--json"});

  ASSERT_EQ(ended.exit_code, 0) << ended.output;
  const auto report = json::parse(ended.output);
  ASSERT_TRUE(report) << ended.output;
  EXPECT_EQ(report->at("mrtd"), ee::testing::kVectorMrtdSingle);
  EXPECT_EQ(report->at("firmware_sha256"), "2cbc61d714bb0080847e71e2e4c4c9b0dbae7ceaebcaa7048b13e8d311167394");
  EXPECT_EQ(report->at("page_order"), "single");
  EXPECT_TRUE(report->at("mrtd_expected").is_null());
  EXPECT_EQ(report->at("predicted").at("rtmr1").get_string().size(), 96u);
}

TEST_F(OfflineMeasure, SaysWhatDoesNotAgreeInJsonToo) {
  const auto outcome = measure_offline(
      {.firmware = path("firmware.fd"), .expect_mrtd = std::string(ee::testing::kVectorMrtdTwoPass), .json = true});

  EXPECT_EQ(outcome.exit, MeasureExit::differs);
  EXPECT_NE(outcome.output.find("\"mrtd_expected\":false"), std::string::npos) << outcome.output;
}

TEST_F(OfflineMeasure, PredictionsAreMarked) {
  const auto outcome = measure_offline(
      {.firmware = path("firmware.fd"), .kernel = path("kernel"), .initrd = path("initrd"), .command_line = ""});

  EXPECT_EQ(outcome.exit, MeasureExit::ok);
  EXPECT_NE(outcome.output.find("rtmr1"), std::string::npos);
  EXPECT_NE(outcome.output.find("predicted"), std::string::npos);
}

TEST_F(OfflineMeasure, FilesAreBounded) {
  EXPECT_FALSE(read_file(path("kernel"), 10));
  EXPECT_EQ(read_file(path("initrd"), 100)->size(), 100u);
}

}  // namespace
}  // namespace ee::launcher
