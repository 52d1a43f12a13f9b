#include "attestation/tsm/configfs_tsm.h"

#include <unistd.h>

#include <atomic>
#include <charconv>
#include <functional>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "attestation/quote/quote.h"
#include "attestation/tsm/turnstile.h"

namespace ee::attestation {

namespace {

constexpr auto kCallTimeout = std::chrono::seconds(20);
constexpr int kMaxStuckThreads = 2;
constexpr int kMaxEntryTries = 3;
constexpr int kMaxRounds = 3;
constexpr int kMaxBusyWrites = 5;
constexpr auto kFirstBusyWait = Milliseconds(10);  // doubled each time: 10, 20, 40, 80, 160
constexpr std::size_t kOutblobMaxBytes = 32UL * 1024;
constexpr std::size_t kAttributeMaxBytes = 4096;
constexpr std::string_view kProvider = "tdx_guest";

std::unexpected<Error> failed(std::string_view what, int error) {
  return fail(ErrorCode::quote_generation_failed, std::string(what) + ": " + std::generic_category().message(error));
}

std::string_view without_newline(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

std::expected<std::uint64_t, int> read_generation(TsmFiles& files, const std::string& entry) {
  const auto text = files.read(entry + "/generation", kAttributeMaxBytes);
  if (!text) return std::unexpected(text.error());
  const std::string_view digits = without_newline(text_of(*text));
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::unexpected(EINVAL);
  return value;
}

/// What became of one exchange with the kernel.
struct Round {
  enum class Kind { done, write_busy, read_busy, raced, failed } kind;
  ByteVector outblob = {};
  std::string what = {};
  int error = 0;
};

Round one_round(TsmFiles& files, const std::string& entry, const ByteArray<64>& report_data) {
  const auto before = read_generation(files, entry);
  if (!before) return {.kind = Round::Kind::failed, .what = "reading generation", .error = before.error()};
  const int written = files.write(entry + "/inblob", report_data);
  if (written == EBUSY || written == EINTR)
    return {.kind = Round::Kind::write_busy, .what = "writing inblob", .error = written};
  if (written != 0) return {.kind = Round::Kind::failed, .what = "writing inblob", .error = written};

  auto outblob = files.read(entry + "/outblob", kOutblobMaxBytes);
  if (!outblob) {
    const int error = outblob.error();
    const bool again = error == EBUSY || error == EINTR || error == ETIMEDOUT;
    return {.kind = again ? Round::Kind::read_busy : Round::Kind::failed, .what = "reading outblob", .error = error};
  }
  const auto after = read_generation(files, entry);
  if (!after) return {.kind = Round::Kind::failed, .what = "reading generation", .error = after.error()};
  if (*after != *before + 1) return {.kind = Round::Kind::raced};
  return {.kind = Round::Kind::done, .outblob = std::move(*outblob)};
}

/// Adds an entry and looks at who would answer. 0, or an errno value; `wrong_provider` when another kind of TEE
/// answers.
struct Entry {
  int error = 0;
  bool wrong_provider = false;
};

Entry make_entry(TsmFiles& files, const std::string& path) {
  if (const int error = files.make_directory(path); error != 0) return {.error = error};
  const auto provider = files.read(path + "/provider", kAttributeMaxBytes);
  if (!provider || without_newline(text_of(*provider)) != kProvider) {
    (void)files.remove_directory(path);
    return {.error = provider ? 0 : provider.error(), .wrong_provider = provider.has_value()};
  }
  return {};
}

/// Checks that the kernel answered what it was asked, and drops its padding.
Result<ByteVector> checked(const ByteVector& outblob, const ByteArray<64>& report_data) {
  const auto quote = parse_quote(outblob, TrailingPolicy::zeros, kOutblobMaxBytes);
  if (!quote)
    return fail(ErrorCode::quote_generation_failed,
                "the kernel's quote: " + std::string(slug(quote.error().code)) + " " + quote.error().detail);
  if (!constant_time_equal(quote->report_data(), report_data))
    return fail(ErrorCode::quote_generation_failed, "the kernel's quote has other report data");
  return ByteVector(quote->bytes().begin(), quote->bytes().end());
}

}  // namespace

/// What threads that were left behind still need.
struct ConfigfsTsm::Shared {
  explicit Shared(std::shared_ptr<TsmFiles> given) : files(std::move(given)) {}
  std::shared_ptr<TsmFiles> files;
  Turnstile turnstile;
  std::atomic<int> stuck = 0;
};

/// One call of `generate`, once it is its turn.
class ConfigfsTsm::Call {
 public:
  Call(ConfigfsTsm& tsm, SteadyTime deadline) : tsm_(tsm), deadline_(deadline) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    if (has_entry_) (void)tsm_.shared_->files->remove_directory(entry_);
  }

  Result<ByteVector> run(const ByteArray<64>& report_data) {
    if (const auto made = enter(); !made) return fail(made.error());
    int busy_writes = 0;
    int busy_reads = 0;
    int races = 0;
    for (;;) {
      auto round = bounded<Round>(
          [files = tsm_.shared_->files, entry = entry_, report_data] { return one_round(*files, entry, report_data); });
      if (!round) return fail(round.error());
      switch (round->kind) {
        case Round::Kind::done: return checked(round->outblob, report_data);
        case Round::Kind::failed: return failed(round->what, round->error);
        case Round::Kind::write_busy:
          if (++busy_writes > kMaxBusyWrites) return failed(round->what, round->error);
          tsm_.clock_.sleep_for(kFirstBusyWait * (1 << (busy_writes - 1)), {});
          break;
        case Round::Kind::read_busy:
          if (++busy_reads >= kMaxRounds) return failed(round->what, round->error);
          busy_writes = 0;
          break;
        case Round::Kind::raced:
          if (++races >= kMaxRounds) return fail(ErrorCode::quote_generation_raced);
          busy_writes = 0;
          break;
      }
    }
  }

 private:
  Result<void> enter() {
    for (int tries = 0; tries < kMaxEntryTries; ++tries) {
      ByteArray<8> random{};
      if (!tsm_.random_.fill(random)) return fail(ErrorCode::quote_generation_failed, "no randomness");
      entry_ = tsm_.root_ + "/ee-" + std::to_string(::getpid()) + "-" + to_hex(random);
      const auto made =
          bounded<Entry>([files = tsm_.shared_->files, entry = entry_] { return make_entry(*files, entry); });
      if (!made) return fail(made.error());
      if (made->wrong_provider) return fail(ErrorCode::tdx_unavailable, "provider_mismatch");
      if (made->error == 0) {
        has_entry_ = true;
        return {};
      }
      if (made->error == ENXIO || made->error == ENODEV)
        return fail(ErrorCode::tdx_unavailable, std::generic_category().message(made->error));
      if (made->error != EEXIST) return failed("making an entry", made->error);
    }
    return failed("making an entry", EEXIST);
  }

  /// Runs `work` on a thread of its own until the deadline. Past it the thread is left behind, counted as stuck; it
  /// then owns the entry and removes it when it is through.
  template <class T>
  Result<T> bounded(std::function<T()> work) {
    struct Job {
      std::mutex mutex;
      std::optional<T> result;
      bool abandoned = false;
      std::stop_source done;
    };
    const auto job = std::make_shared<Job>();
    const auto thread = [job, work = std::move(work), shared = tsm_.shared_, entry = entry_] {
      T result = work();
      {
        const std::lock_guard lock(job->mutex);
        if (!job->abandoned) {
          job->result = std::move(result);
          job->done.request_stop();
          return;
        }
      }
      --shared->stuck;
      (void)shared->files->remove_directory(entry);
    };
    try {
      std::thread(thread).detach();
    } catch (const std::system_error& error) {
      return failed("starting a thread", error.code().value());
    }
    (void)tsm_.clock_.sleep_until(deadline_, job->done.get_token());

    const std::lock_guard lock(job->mutex);
    if (job->result) return std::move(*job->result);
    job->abandoned = true;
    has_entry_ = false;
    ++tsm_.shared_->stuck;
    return fail(ErrorCode::quote_generation_timeout, "no answer within 20 s");
  }

  ConfigfsTsm& tsm_;
  SteadyTime deadline_;
  std::string entry_;
  bool has_entry_ = false;
};

ConfigfsTsm::ConfigfsTsm(std::string root, Clock& clock, Random& random, std::shared_ptr<TsmFiles> files)
    : root_(std::move(root)), clock_(clock), random_(random), shared_(std::make_shared<Shared>(std::move(files))) {}

ConfigfsTsm::~ConfigfsTsm() = default;

bool ConfigfsTsm::present() const { return shared_->files->is_directory(root_); }

std::size_t ConfigfsTsm::remove_stale_entries() {
  std::size_t removed = 0;
  for (const std::string& name : shared_->files->list(root_)) {
    if (!name.starts_with("ee-")) continue;
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data() + 3, name.data() + name.size(), pid);
    const bool ours = error == std::errc() && pid > 0 && end != name.data() + name.size() && *end == '-';
    if (!ours || shared_->files->process_exists(pid)) continue;
    if (shared_->files->remove_directory(root_ + "/" + name) == 0) ++removed;
  }
  return removed;
}

Result<ByteVector> ConfigfsTsm::generate(const ByteArray<64>& report_data) {
  if (!present()) return fail(ErrorCode::tdx_unavailable, "configfs_missing");
  const SteadyTime deadline = clock_.steady_now() + kCallTimeout;
  if (!shared_->turnstile.enter(clock_, deadline))
    return fail(ErrorCode::quote_generation_timeout, "other quotes took all of 20 s");
  Result<ByteVector> quote = fail(ErrorCode::quote_generation_timeout, "earlier calls are still stuck");
  if (shared_->stuck < kMaxStuckThreads) quote = Call(*this, deadline).run(report_data);
  shared_->turnstile.leave();
  return quote;
}

}  // namespace ee::attestation
