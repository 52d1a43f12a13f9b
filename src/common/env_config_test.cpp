#include "common/env_config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/support/temp_dir.h"

namespace ee {
namespace {

enum class Colour { red, green };
BOOST_DESCRIBE_ENUM(Colour, red, green)

using Lines = std::vector<std::string>;

TEST(EnvReader, ReadsTypedValuesAndFallsBack) {
  const Environment environment = {{"A", "text"},  {"B", "7"},      {"C", "true"},
                                   {"D", "green"}, {"E", " x , y"}, {"F", ""}};
  EnvReader reader(environment);
  EXPECT_EQ(reader.text("A"), "text");
  EXPECT_EQ(reader.integer("B", 1, 0, 10), 7);
  EXPECT_TRUE(reader.flag("C", false));
  EXPECT_EQ(reader.choice("D", Colour::red), Colour::green);
  EXPECT_EQ(reader.list("E"), (Lines{"x", "y"}));
  EXPECT_EQ(reader.text("F"), std::nullopt);
  EXPECT_EQ(reader.integer("G", 5, 0, 10), 5);
  EXPECT_EQ(reader.choice("H", Colour::red), Colour::red);
  EXPECT_TRUE(reader.ok());
}

TEST(EnvReader, GathersEveryProblemWithoutRepeatingTexts) {
  const Environment environment = {{"A", "11"},      {"B", "-1"},   {"C", "hunter2"}, {"D", "hunter2"},
                                   {"E", "hunter2"}, {"F", "a,,b"}, {"G", "1 "},      {"H", "99999999999999999999"}};
  EnvReader reader(environment);
  reader.integer("A", 1, 0, 10);
  reader.integer("B", 1, 0, 10);
  reader.integer("C", 1, 0, 10);
  reader.flag("D", false);
  reader.choice("E", Colour::red);
  reader.list("F");
  reader.integer("G", 1, 0, 10);
  reader.integer("H", 1, 0, 10);
  EXPECT_EQ(reader.finish(),
            (Lines{"A: 11 is above the maximum 10", "B: -1 is below the minimum 0", "C: is not an integer",
                   "D: must be 1, 0, true or false", "E: must be one of red, green",
                   "F: has an empty item between its commas", "G: is not an integer", "H: is not an integer"}));
}

TEST(EnvReader, TakesTheContentOfAFileLessOneNewline) {
  testing::TempDir dir;
  std::ofstream(dir / "secret") << "s3cret\n\n";
  std::ofstream(dir / "empty") << "\n";
  const Environment environment = {{"A_FILE", dir / "secret"}, {"B_FILE", dir / "empty"}, {"C_FILE", dir / "secret"}};
  EnvReader reader(environment);
  EXPECT_EQ(reader.secret("A")->reveal(), "s3cret\n");
  EXPECT_EQ(reader.secret("B"), std::nullopt);
  EXPECT_EQ(reader.file_of("A"), (dir / "secret").string());
  EXPECT_EQ(reader.text("C"), std::nullopt) << "not a variable that may come from a file";
  EXPECT_TRUE(reader.ok());
}

TEST(EnvReader, RefusesBothFormsAndUnreadableFiles) {
  testing::TempDir dir;
  std::ofstream(dir / "long") << std::string(kMaxEnvFile + 1, 'x');
  std::ofstream(dir / "fits") << std::string(kMaxEnvFile, 'x');
  const Environment environment = {{"A", "x"},
                                   {"A_FILE", "y"},
                                   {"B_FILE", dir / "none"},
                                   {"C_FILE", dir.path()},
                                   {"D_FILE", dir / "long"},
                                   {"E_FILE", dir / "fits"}};
  EnvReader reader(environment);
  for (const char* name : {"A", "B", "C", "D"}) EXPECT_EQ(reader.secret(name), std::nullopt);
  EXPECT_EQ(reader.secret("E")->reveal().size(), kMaxEnvFile);
  EXPECT_EQ(reader.finish(),
            (Lines{"A: is set together with A_FILE", "B_FILE: cannot read the file: No such file or directory",
                   "C_FILE: not a regular file", "D_FILE: the file is longer than 65536 bytes"}));
}

TEST(EnvReader, PrefersTheStagesOwnVariable) {
  const Environment environment = {{"TOKEN", "plain"},          {"STAGING_TOKEN", "staged"}, {"KEY", "plain"},
                                   {"STAGING_KEY", ""},         {"STAGING_OTHER", "staged"}, {"URL", "u"},
                                   {"STAGING_URL_FILE", "path"}};
  EnvReader reader(environment, [](const std::string&) { return std::string("from the file\n"); });
  reader.set_provider_prefix("STAGING_");
  EXPECT_EQ(reader.text("TOKEN", EnvSource::provider), "staged");
  EXPECT_EQ(reader.text("KEY", EnvSource::provider), "plain");
  EXPECT_EQ(reader.text("OTHER", EnvSource::file_too), std::nullopt);
  EXPECT_EQ(reader.text("URL", EnvSource::provider), "from the file");
  EnvReader dev(environment);
  EXPECT_EQ(dev.text("TOKEN", EnvSource::provider), "plain");
  EXPECT_TRUE(reader.ok());
}

TEST(EnvReader, RefusesUnknownVariablesOfItsOwn) {
  const Environment environment = {{"EE_KNOWN", "1"},     {"EE_SECRET_FILE", "x"},   {"EE_KNOWM", "1"},
                                   {"EE_FOREIGN_X", "1"}, {"EE_STRANGE_THING", "1"}, {"EE_EMPTY", ""},
                                   {"PATH", "/bin"}};
  EnvReader reader(environment);
  reader.text("EE_KNOWN");
  reader.know("EE_SECRET", EnvSource::file_too);
  reader.refuse_unknown({"EE_FOREIGN_"});
  EXPECT_EQ(reader.finish(), (Lines{"EE_KNOWM: is not a known variable; is EE_KNOWN meant?",
                                    "EE_STRANGE_THING: is not a known variable"}));
}

TEST(ProcessEnvironment, HoldsWhatTheProcessWasGiven) {
  ::setenv("EE_TEST_ENV_CONFIG", "a=b", 1);
  EXPECT_EQ(process_environment().at("EE_TEST_ENV_CONFIG"), "a=b");
  ::unsetenv("EE_TEST_ENV_CONFIG");
}

}  // namespace
}  // namespace ee
