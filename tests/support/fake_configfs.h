#pragma once
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "attestation/tsm/tsm_files.h"
#include "tests/support/emulator.h"
#include "tests/support/temp_dir.h"

namespace ee::testing {

/// configfs-tsm on a directory of its own: real files, read and written by the real code, while this class does the
/// kernel's part (attributes appear with an entry, writing `inblob` raises `generation`, reading `outblob` makes the
/// quote) and answers the errno values that regular files never do. Share it by shared_ptr: threads that hang in it
/// outlive their call. Thread-safe.
class FakeConfigfs final : public attestation::PosixTsmFiles {
 public:
  using QuoteMaker = std::function<ByteVector(const ByteArray<64>&)>;

  /// What the kernel does; change it through `set`.
  struct Knobs {
    std::string provider = "tdx_guest\n";
    QuoteMaker quote = padded_quote;
    std::deque<int> mkdir_errors = {};  ///< answers of the next calls, 0 included
    std::deque<int> inblob_errors = {};
    std::deque<int> outblob_errors = {};
    int races = 0;      ///< so many times another writer comes between write and read
    bool hang = false;  ///< reading `outblob` does not return before `release`
  };

  ~FakeConfigfs() override { release(); }

  std::string root() const { return dir_.path().string(); }

  void set(const std::function<void(Knobs&)>& change) {
    const std::lock_guard lock(mutex_);
    change(knobs_);
  }
  /// Lets all hanging reads go on, with ETIMEDOUT, and hangs no more.
  void release() {
    const std::lock_guard lock(mutex_);
    knobs_.hang = false;
    changed_.notify_all();
  }
  void wait_for_hanging(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return hanging_ >= count; });
  }
  void wait_for_no_entries() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return entries_.empty(); });
  }

  /// Makes an entry as another process (or an earlier life of this one) would have.
  void add_entry(const std::string& name) { (void)make_directory(root() + "/" + name); }
  /// The names of the entries that are there.
  std::set<std::string> entries() const {
    const std::lock_guard lock(mutex_);
    return entries_;
  }
  /// The names of all entries ever made.
  std::vector<std::string> made() const {
    const std::lock_guard lock(mutex_);
    return made_;
  }
  /// Everything written to an `inblob`.
  std::vector<ByteVector> written() const {
    const std::lock_guard lock(mutex_);
    return written_;
  }
  void set_living(std::set<pid_t> living) {
    const std::lock_guard lock(mutex_);
    living_ = std::move(living);
  }

  int make_directory(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    if (const int error = next(knobs_.mkdir_errors); error != 0) return error;
    if (const int error = PosixTsmFiles::make_directory(path); error != 0) return error;
    put(path + "/provider", knobs_.provider);
    put(path + "/generation", "0\n");
    put(path + "/inblob", "");
    entries_.insert(name_of(path));
    made_.push_back(name_of(path));
    return 0;
  }

  int remove_directory(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    for (const char* attribute : {"provider", "generation", "inblob", "outblob"})
      std::filesystem::remove(path + "/" + attribute);
    const int error = PosixTsmFiles::remove_directory(path);
    if (error == 0) entries_.erase(name_of(path));
    changed_.notify_all();
    return error;
  }

  int write(const std::string& path, Bytes bytes) override {
    const std::lock_guard lock(mutex_);
    if (const int error = next(knobs_.inblob_errors); error != 0) return error;
    if (const int error = PosixTsmFiles::write(path, bytes); error != 0) return error;
    written_.emplace_back(bytes.begin(), bytes.end());
    raise_generation(entry_of(path));
    return 0;
  }

  std::expected<ByteVector, int> read(const std::string& path, std::size_t max_bytes) override {
    if (path.ends_with("/outblob"))
      if (const int error = make_outblob(entry_of(path)); error != 0) return std::unexpected(error);
    return PosixTsmFiles::read(path, max_bytes);
  }

  bool process_exists(pid_t pid) override {
    const std::lock_guard lock(mutex_);
    return living_.contains(pid);
  }

 private:
  /// As the kernel pads its buffer.
  static ByteVector padded_quote(const ByteArray<64>& report_data) {
    ByteVector quote = emulated_quote({.report_data = report_data});
    quote.resize(8000);
    return quote;
  }
  static int next(std::deque<int>& errors) {
    if (errors.empty()) return 0;
    const int error = errors.front();
    errors.pop_front();
    return error;
  }
  static std::string name_of(const std::string& path) { return std::filesystem::path(path).filename().string(); }
  static std::string entry_of(const std::string& path) { return std::filesystem::path(path).parent_path().string(); }
  static void put(const std::string& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }
  static std::string get(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static void raise_generation(const std::string& entry) {
    put(entry + "/generation", std::to_string(std::stoull(get(entry + "/generation")) + 1) + "\n");
  }

  int make_outblob(const std::string& entry) {
    std::unique_lock lock(mutex_);
    if (knobs_.hang) {
      ++hanging_;
      changed_.notify_all();
      changed_.wait(lock, [&] { return !knobs_.hang; });
      --hanging_;
      return ETIMEDOUT;
    }
    if (const int error = next(knobs_.outblob_errors); error != 0) return error;
    ByteArray<64> report_data{};
    const std::string inblob = get(entry + "/inblob");
    if (inblob.size() != report_data.size()) return EINVAL;
    std::copy(inblob.begin(), inblob.end(), report_data.begin());
    put(entry + "/outblob", text_of(knobs_.quote(report_data)));
    if (knobs_.races > 0) {
      --knobs_.races;
      raise_generation(entry);
    }
    return 0;
  }

  TempDir dir_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Knobs knobs_;
  int hanging_ = 0;
  std::set<std::string> entries_;
  std::vector<std::string> made_;
  std::vector<ByteVector> written_;
  std::set<pid_t> living_;
};

}  // namespace ee::testing
