#include "attestation/tsm/emulated_tdx.h"

#ifdef EE_EMULATOR

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>

#include "common/crypto.h"
#include "common/json.h"

namespace ee::attestation {

namespace {

constexpr const char* kPkiFile = "pki.json";
constexpr const char* kMeasurementsFile = "emulated.json";
constexpr const char* kRtmr3File = "rtmr3";
constexpr const char* kLockFile = "lock";
constexpr std::size_t kFileMaxBytes = 1024UL * 1024;

struct MeasurementsFile {
  std::optional<std::string> mrtd;
  std::optional<std::string> rtmr0;
  std::optional<std::string> rtmr1;
  std::optional<std::string> rtmr2;
  std::optional<std::string> rtmr3;
  std::optional<std::string> mrconfigid;
};
BOOST_DESCRIBE_STRUCT(MeasurementsFile, (), (mrtd, rtmr0, rtmr1, rtmr2, rtmr3, mrconfigid))
constexpr auto json_rules(json::For<MeasurementsFile> /*type*/) {
  return std::array{json::field("mrtd").hex(96),  json::field("rtmr0").hex(96), json::field("rtmr1").hex(96),
                    json::field("rtmr2").hex(96), json::field("rtmr3").hex(96), json::field("mrconfigid").hex(96)};
}

std::unexpected<Error> unusable(const std::string& what) {
  return fail(ErrorCode::tdx_unavailable, "emulated TDX: " + what);
}

/// The text of a small file; nothing when there is none.
std::optional<std::string> read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return std::nullopt;
  std::string text(kFileMaxBytes, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  return text;
}

/// Whole or not at all: readers of the file never see a part.
bool replace_file(const std::filesystem::path& path, const std::string& text) {
  const std::filesystem::path part = path.string() + ".part";
  {
    std::ofstream out(part, std::ios::binary | std::ios::trunc);
    out.write(text.data(), static_cast<std::streamsize>(text.size()));
    out.close();
    if (!out) return false;
  }
  std::error_code error;
  std::filesystem::permissions(part, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write, error);
  if (!error) std::filesystem::rename(part, path, error);
  return !error;
}

Result<void> make_private_directory(const std::filesystem::path& dir) {
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  if (error) return unusable("cannot make " + dir.string() + ": " + error.message());
  std::filesystem::permissions(dir, std::filesystem::perms::owner_all, error);
  if (error) return unusable("cannot make " + dir.string() + " private: " + error.message());
  return {};
}

void take(const std::optional<std::string>& from, ByteArray<48>& to) {
  if (from) to = from_hex_exact<48>(*from).value();  // the reader has checked it
}

Result<EmulatedMeasurements> load_measurements(const std::filesystem::path& dir, EmulatedRole role) {
  EmulatedMeasurements out = EmulatedMeasurements::defaults(role);
  if (const auto text = read_file(dir / kMeasurementsFile)) {
    const auto file = json::read<MeasurementsFile>(*text);
    if (!file) {
      const auto& fields = file.error().fields;
      return unusable(std::string(kMeasurementsFile) + ": " + (fields.empty() ? file.error().detail : fields[0].field));
    }
    take(file->mrtd, out.mrtd);
    take(file->rtmr0, out.rtmrs[0]);
    take(file->rtmr1, out.rtmrs[1]);
    take(file->rtmr2, out.rtmrs[2]);
    take(file->rtmr3, out.rtmrs[3]);
    take(file->mrconfigid, out.mrconfigid);
  }
  if (const auto text = read_file(dir / kRtmr3File)) {
    const auto rtmr3 = from_hex_exact<48>(*text);
    if (!rtmr3) return unusable(std::string(kRtmr3File) + " is not 96 hexadecimal digits");
    out.rtmrs[3] = *rtmr3;
  }
  return out;
}

}  // namespace

/// The directory's lock, held while the object lives.
class EmulatedTdx::Lock {
 public:
  explicit Lock(const std::filesystem::path& path)
      : descriptor_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)),
        held_(descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0) {}
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  ~Lock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  bool held() const { return held_; }

 private:
  int descriptor_;
  bool held_;
};

Result<std::unique_ptr<EmulatedTdx>> EmulatedTdx::open(EmulationAllowed allowed, const std::filesystem::path& dir,
                                                       EmulatedRole role, const Clock& clock) {
  if (const auto made = make_private_directory(dir); !made) return fail(made.error());
  auto lock = std::make_unique<Lock>(dir / kLockFile);
  if (!lock->held()) return unusable(dir.string() + " is in use by another process");
  const auto measurements = load_measurements(dir, role);
  if (!measurements) return fail(measurements.error());

  std::unique_ptr<EmulatedTdx> tdx(new EmulatedTdx(allowed, dir, std::move(lock), *measurements, clock));
  if (const auto text = read_file(dir / kPkiFile))
    if (auto pki = read_emulator_pki(allowed, *text)) tdx->pki_ = std::make_shared<EmulatorPki>(std::move(*pki));
  tdx->pki();
  return tdx;
}

EmulatedTdx::EmulatedTdx(EmulationAllowed allowed, std::filesystem::path dir, std::unique_ptr<Lock> lock,
                         const EmulatedMeasurements& measurements, const Clock& clock)
    : allowed_(allowed), dir_(std::move(dir)), lock_(std::move(lock)), clock_(clock), measurements_(measurements) {}
EmulatedTdx::~EmulatedTdx() = default;

std::shared_ptr<const EmulatedQuoteSigner> EmulatedTdx::signer() {
  const UtcTime now = clock_.now();
  const std::lock_guard lock(mutex_);
  if (pki_ == nullptr || pki_->is_stale(now)) {
    pki_ = std::make_shared<EmulatorPki>(allowed_, EmulatorPkiOptions{.issued_at = now});
    signer_.reset();
    // The file only saves making it again: keys are the same, so a directory that cannot be written costs nothing.
    (void)replace_file(dir_ / kPkiFile, write_emulator_pki(*pki_));
  }
  if (signer_ == nullptr) signer_ = std::make_shared<EmulatedQuoteSigner>(pki_);
  return signer_;
}

std::shared_ptr<const EmulatorPki> EmulatedTdx::pki() {
  signer();
  const std::lock_guard lock(mutex_);
  return pki_;
}

Result<ByteVector> EmulatedTdx::generate(const ByteArray<64>& report_data) {
  return generate(EmulatedQuoteSpec{.measurements = measurements(), .report_data = report_data});
}

ByteVector EmulatedTdx::generate(const EmulatedQuoteSpec& spec) { return signer()->sign(spec); }

EmulatedMeasurements EmulatedTdx::measurements() const {
  const std::lock_guard lock(mutex_);
  return measurements_;
}

Result<void> EmulatedTdx::extend_rtmr3(const ByteArray<48>& digest) {
  const std::lock_guard lock(mutex_);
  ByteVector text;
  append(text, measurements_.rtmrs[3]);
  append(text, digest);
  const auto extended = sha384(text);
  if (!replace_file(dir_ / kRtmr3File, to_hex(extended))) return unusable("cannot write rtmr3");
  measurements_.rtmrs[3] = extended;
  return {};
}

}  // namespace ee::attestation

#endif
