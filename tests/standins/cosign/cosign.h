#pragma once
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace ee::standins {

/// Stand-in for the program cosign: a shell script that records its arguments and environment and answers as told, by
/// the digest it is asked about.
class CosignScript {
 public:
  CosignScript() {
    std::ofstream(dir_ / "cosign") << "#!/bin/sh\n"
                                      "dir='" +
                                          dir_.path().string() +
                                          "'\n"
                                          "n=$(ls \"$dir\" | grep -c '^argv') ; n=$(printf %04d \"$n\")\n"
                                          "for a in \"$@\"; do printf '%s\\n' \"$a\"; last=\"$a\"; done > "
                                          "\"$dir/argv.$n.$$\"\n"
                                          "env > \"$dir/env\"\n"
                                          "if [ -f \"$DOCKER_CONFIG/config.json\" ]; then cp \"$DOCKER_CONFIG/"
                                          "config.json\" \"$dir/docker\"; fi\n"
                                          "if [ -f \"$HOME/cosign.pub\" ]; then cp \"$HOME/cosign.pub\" "
                                          "\"$dir/key\"; fi\n"
                                          "digest=${last##*@sha256:}\n"
                                          "if [ -f \"$dir/say.$digest\" ]; then . \"$dir/say.$digest\"; fi\n"
                                          ". \"$dir/say\"\n";
    ::chmod(binary().c_str(), 0755);
    say("exit 10");
  }
  std::string binary() const { return (dir_ / "cosign").string(); }
  std::filesystem::path operator/(const std::string& name) const { return dir_ / name; }

  /// Shell text that it runs for every digest, or for this one first.
  void say(const std::string& script, const std::string& digest = "") {
    const std::string name = digest.empty() ? "say" : "say." + digest.substr(digest.find(':') + 1);
    std::ofstream(dir_ / (name + ".new")) << script << "\n";
    std::filesystem::rename(dir_ / (name + ".new"), dir_ / name);
  }
  /// A good answer about this digest.
  static std::string verified(const std::string& digest, const std::string& subject = kSubject) {
    return "cat <<'X'\n[" + element(digest, subject) + "]\nX\necho 'Verification for the image --' >&2\nexit 0";
  }
  static std::string element(const std::string& digest, const std::string& subject, int log_index = 4711) {
    return R"({"critical":{"identity":{"docker-reference":"x"},"image":{"docker-manifest-digest":")" + digest +
           R"("},"type":"cosign container image signature"},"optional":{"Subject":")" + subject +
           R"(","Issuer":"https://token.actions.githubusercontent.com","Bundle":{"Payload":{"logIndex":)" +
           std::to_string(log_index) + "}}}}";
  }
  /// The arguments of each call, in order.
  std::vector<std::vector<std::string>> calls() const {
    std::map<std::string, std::vector<std::string>> by_name;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      const std::string name = entry.path().filename();
      if (!name.starts_with("argv.")) continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) by_name[name].push_back(line);
    }
    std::vector<std::vector<std::string>> out;
    for (auto& [name, call] : by_name) out.push_back(std::move(call));
    return out;
  }
  std::string file(const std::string& name) const {
    std::ifstream in(dir_ / name);
    std::stringstream text;
    text << in.rdbuf();
    return text.str();
  }

  static constexpr const char* kSubject = "https://github.com/octo-org/app/.github/workflows/release.yml@refs/tags/v1";

 private:
  testing::TempDir dir_;
};

}  // namespace ee::standins
