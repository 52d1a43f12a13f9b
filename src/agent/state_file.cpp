#include "agent/state_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "agent/files.h"
#include "common/json.h"
#include "common/secret.h"

namespace ee::agent {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> siblings(const fs::path& path, std::string_view suffix) {
  std::vector<fs::path> out;
  const std::string prefix = path.filename().string() + std::string(suffix);
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(path.parent_path(), ignored))
    if (entry.path().filename().string().starts_with(prefix)) out.push_back(entry.path());
  std::ranges::sort(out);
  return out;
}

/// Takes a damaged file out of the way. The names sort by time.
Result<std::string> set_aside(const fs::path& path, UtcTime now) {
  std::string name;
  for (int i = 0;; ++i) {
    name = fmt::format("{}.corrupt-{:015}-{:02}", path.string(), unix_ms(now), i);
    if (!fs::exists(name)) break;
  }
  std::error_code failed;
  fs::rename(path, name, failed);
  if (failed)
    return fail(ErrorCode::internal_error, fmt::format("cannot rename {}: {}", path.string(), failed.message()));
  auto kept = siblings(path, ".corrupt-");
  while (kept.size() > StateFile::kCorruptKept) {
    fs::remove(kept.front(), failed);
    kept.erase(kept.begin());
  }
  return name;
}

}  // namespace

Result<std::unique_ptr<StateFile>> StateFile::open(const std::string& data_dir, const Clock& clock) {
  std::unique_ptr<StateFile> file(new StateFile(data_dir + "/state.json"));
  std::error_code ignored;
  for (const fs::path& left : siblings(file->path_, ".tmp-")) fs::remove(left, ignored);  // of a crash while saving

  const auto text = read_file(file->path_, kMaxBytes);
  if (!text && text.error() == FileFailure::missing) return file;
  if (text) {
    auto state = json::read<AgentState>(*text);
    if (state) {
      file->state_ = std::move(*state);
      return file;
    }
  }
  auto name = set_aside(file->path_, clock.now());
  if (!name) return fail(std::move(name.error()));
  file->damaged_ = std::move(*name);
  return file;
}

AgentState StateFile::state() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

Result<void> StateFile::save(AgentState state) {
  const std::lock_guard lock(mutex_);
  return save_locked(std::move(state));
}

Result<void> StateFile::update(const std::function<void(AgentState&)>& change) {
  const std::lock_guard lock(mutex_);
  AgentState next = state_;
  change(next);
  return save_locked(std::move(next));
}

Result<void> StateFile::save_locked(AgentState state) {
  std::string text = json::write(state);
  Result<void> written;
  if (auto readable = json::read<AgentState>(text); !readable) {  // never write what the next start would call damaged
    written = fail(std::move(readable.error()));
  } else {
    written = write_file_atomically(path_, text);
  }
  ee::wipe(text);
  if (!written) return written;
  state_ = std::move(state);
  return {};
}

Result<void> StateFile::wipe() {
  return update([](AgentState& state) { state = AgentState{.vm_name = state.vm_name}; });
}

}  // namespace ee::agent
