#pragma once
#include "common/subprocess.h"

namespace ee {

/// Child processes by fork and exec. Thread-safe; each `Subprocess` belongs to one thread, which must be the one that
/// started it and must live as long as the child should: the kernel kills the child when that thread ends.
class PosixSubprocessLauncher final : public SubprocessLauncher {
 public:
  Result<std::unique_ptr<Subprocess>> start(const SubprocessSpec& spec) override;
};

/// The file that a program's name stands for: itself if it has a slash, else the first executable in `path` (a list as
/// in PATH). Nothing when there is none.
std::optional<std::string> find_program(const std::string& name, const std::string& path);

}  // namespace ee
