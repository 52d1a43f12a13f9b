#include "agent/state_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "agent/files.h"
#include "agent/host.h"
#include "common/fake_clock.h"
#include "common/fake_random.h"
#include "common/json.h"
#include "tests/support/temp_dir.h"

namespace ee::agent {
namespace {

namespace fs = std::filesystem;
constexpr const char* kAgentId = "0190a000-0000-7000-8000-000000000001";

AgentState registered() {
  agent_api::SigningKeys keys;
  keys.version = 3;
  keys.keys = {{.kid = "21fe31dfa154a261", .public_key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}};
  return {.agent_id = kAgentId,
          .registration_id = "0190a000-0000-7000-8000-000000000003",
          .vm_name = "vm-1",
          .boot_id = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",
          .credential = "ee_agent_x",
          .signing_keys = keys};
}
std::size_t damaged_files(const fs::path& dir) {
  return static_cast<std::size_t>(std::ranges::count_if(fs::directory_iterator(dir), [](const auto& entry) {
    return entry.path().filename().string().starts_with("state.json.corrupt-");
  }));
}
void write(const fs::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

TEST(StateFile, KeepsWhatWasSavedForTheOwnerOnly) {
  const testing::TempDir dir;
  FakeClock clock;
  {
    auto file = StateFile::open(dir.path(), clock);
    ASSERT_TRUE(file);
    EXPECT_EQ((*file)->state().agent_id, std::nullopt);
    ASSERT_TRUE((*file)->save(registered()));
  }
  const auto again = StateFile::open(dir.path(), clock);

  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->state().agent_id, kAgentId);
  EXPECT_EQ((*again)->state().credential, "ee_agent_x");
  EXPECT_EQ((*again)->state().signing_keys->version, 3);
  EXPECT_EQ((*again)->damaged(), std::nullopt);
  struct stat info{};
  ASSERT_EQ(::stat((dir / "state.json").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

// covers: S02_EEA_STATE_001
TEST(StateFile, S02_EEA_STATE_001_sets_a_torn_or_corrupt_file_aside_and_starts_as_new) {
  AgentState state = registered();
  state.signing_keys = std::nullopt;
  const std::string whole = json::write(state);
  FakeClock clock;
  std::vector<std::string> bad = {"",
                                  std::string(64, '\0'),
                                  "[]",
                                  R"({"v":2})",
                                  R"({"v":1,"extra":1})",
                                  whole + "x",
                                  R"({"v":1,"agent_id":"no uuid"})",
                                  std::string(StateFile::kMaxBytes + 1, ' ')};
  for (std::size_t size = 1; size < whole.size(); ++size) bad.push_back(whole.substr(0, size));

  for (const std::string& text : bad) {
    const testing::TempDir dir;
    write(dir / "state.json", text);
    auto file = StateFile::open(dir.path(), clock);
    ASSERT_TRUE(file) << text.substr(0, 80);
    EXPECT_EQ((*file)->state().agent_id, std::nullopt) << text.substr(0, 80);
    ASSERT_TRUE((*file)->damaged()) << text.substr(0, 80);
    EXPECT_TRUE(fs::exists(*(*file)->damaged()));
    EXPECT_FALSE(fs::exists(dir / "state.json"));
    ASSERT_TRUE((*file)->save(registered()));
    EXPECT_EQ(StateFile::open(dir.path(), clock).value()->state().agent_id, kAgentId);
  }
}

TEST(StateFile, KeepsTheNewestThreeDamagedFiles) {
  const testing::TempDir dir;
  FakeClock clock;
  for (int i = 0; i < 5; ++i) {
    write(dir / "state.json", "damaged " + std::to_string(i));
    ASSERT_TRUE(StateFile::open(dir.path(), clock));
    if (i % 2 == 0) clock.advance(std::chrono::seconds(1));  // two of the same millisecond as well
  }
  EXPECT_EQ(damaged_files(dir.path()), 3U);
  std::vector<std::string> texts;
  for (const auto& entry : fs::directory_iterator(dir.path())) texts.push_back(*read_file(entry.path(), 100));
  std::ranges::sort(texts);
  EXPECT_EQ(texts, (std::vector<std::string>{"damaged 2", "damaged 3", "damaged 4"}));
}

TEST(StateFile, RemovesWhatACrashWhileSavingLeft) {
  const testing::TempDir dir;
  FakeClock clock;
  ASSERT_TRUE(StateFile::open(dir.path(), clock).value()->save(registered()));
  write(dir / "state.json.tmp-Ab12Cd", R"({"v":1,"agent)");

  const auto file = StateFile::open(dir.path(), clock);

  EXPECT_EQ((*file)->state().agent_id, kAgentId);
  EXPECT_FALSE(fs::exists(dir / "state.json.tmp-Ab12Cd"));
  EXPECT_EQ((*file)->damaged(), std::nullopt);
}

TEST(StateFile, AFailedSaveLeavesTheOldState) {
  const testing::TempDir dir;
  FakeClock clock;
  auto file = StateFile::open(dir.path(), clock);
  ASSERT_TRUE((*file)->save(registered()));
  fs::remove(dir / "state.json");
  fs::create_directory(dir / "state.json");  // nothing can be renamed over a directory
  AgentState other = registered();
  other.credential = "ee_agent_y";

  EXPECT_FALSE((*file)->save(other));

  EXPECT_EQ((*file)->state().credential, "ee_agent_x");
  EXPECT_EQ(std::distance(fs::directory_iterator(dir.path()), {}), 1);  // no temporary file stays
}

TEST(StateFile, RefusesToWriteWhatItCouldNotReadBack) {
  const testing::TempDir dir;
  FakeClock clock;
  auto file = StateFile::open(dir.path(), clock);
  AgentState state = registered();
  state.agent_id = "no uuid";
  EXPECT_FALSE((*file)->save(state));
  EXPECT_FALSE(fs::exists(dir / "state.json"));
}

TEST(StateFile, WipeForgetsAllButTheName) {
  const testing::TempDir dir;
  FakeClock clock;
  auto file = StateFile::open(dir.path(), clock);
  ASSERT_TRUE((*file)->save(registered()));
  ASSERT_TRUE((*file)->wipe());

  const auto again = StateFile::open(dir.path(), clock);
  EXPECT_EQ((*again)->state().vm_name, "vm-1");
  EXPECT_EQ((*again)->state().agent_id, std::nullopt);
  EXPECT_EQ((*again)->state().credential, std::nullopt);
}

TEST(DirectoryLock, IsHeldByOneAtATime) {
  const testing::TempDir dir;
  {
    const auto first = DirectoryLock::take(dir.path());
    ASSERT_TRUE(first);
    const auto second = DirectoryLock::take(dir.path());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::in_use);
  }
  EXPECT_TRUE(DirectoryLock::take(dir.path()));
}

TEST(MakeDirectories, MakesParentsForTheOwnerOnly) {
  const testing::TempDir dir;
  ASSERT_TRUE(make_directories((dir / "a/b/c").string()));
  ASSERT_TRUE(make_directories((dir / "a/b/c").string()));
  struct stat info{};
  ASSERT_EQ(::stat((dir / "a/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  write(dir / "file", "");
  EXPECT_FALSE(make_directories((dir / "file/x").string()));
}

// covers: S02_EEA_CFG_008
TEST(VmName, S02_EEA_CFG_008_falls_back_in_order) {
  const testing::TempDir dir;
  fs::create_directories(dir / "root/etc");
  const Host host((dir / "root").string());
  FakeClock clock;
  FakeRandom random;
  auto state = StateFile::open(dir.path(), clock);
  AgentConfig config;
  const auto name = [&](const std::optional<std::string>& gce = {}) {
    return resolve_vm_name(config, gce, host, **state, random).value();
  };

  const std::string made = name();
  EXPECT_EQ(made.size(), 12U);
  EXPECT_TRUE(made.starts_with("tdx-"));
  EXPECT_EQ(StateFile::open(dir.path(), clock).value()->state().vm_name, made);  // was saved before it was used
  EXPECT_EQ(name(), made);

  for (const char* unusable : {"localhost\n", "Not_A_Label\n", "\n", "a.b.c\n"}) {
    write(dir / "root/etc/hostname", unusable);
    EXPECT_EQ(name(), made) << unusable;
  }
  write(dir / "root/etc/hostname", "host-name\n");
  EXPECT_EQ(name(), "host-name");
  EXPECT_EQ(name("gce-name"), "gce-name");
  EXPECT_EQ(name("not a label"), "host-name");
  config.vm_name = "configured";
  EXPECT_EQ(name("gce-name"), "configured");
}

}  // namespace
}  // namespace ee::agent
