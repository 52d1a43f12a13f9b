// P1: one DCAP verification beside one OpenSSL P-256 verification, in the same run, by the same keys.
//
// `warm`: chain and collateral of the platform are known. `cold`: by a verifier that has seen nothing, parsing and
// checking the chain and all four pieces of collateral. Prints Google Benchmark's table and then one line of JSON with
// the ratios of the fastest repetitions, since noise only adds.
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "attestation/verify/dcap_verifier.h"
#include "common/require.h"
#include "tests/support/emulated_evidence.h"

namespace {

using namespace ee::attestation;

constexpr TrustAnchors kDev{.allow_emulator = true};

struct Evidence {
  ee::testing::EmulatedEvidence parts;
  Quote quote = parts.quote();
  Collateral collateral = parts.collateral();
  ee::UtcTime now = parts.options.issued_at + ee::Seconds(1);
};
const Evidence& evidence() {
  static const Evidence made;
  return made;
}

void openssl_p256_verify(benchmark::State& state) {
  const emulator::P256Key signer = evidence().parts.key("PCK");
  const ee::Bytes message = evidence().quote.signed_bytes();
  std::vector<unsigned char> signature(80);
  std::size_t size = signature.size();
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ee::require(EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, signer.handle()) == 1 &&
              EVP_DigestSign(context, signature.data(), &size, message.data(), message.size()) == 1);
  EVP_MD_CTX_free(context);
  for (auto _ : state) {
    context = EVP_MD_CTX_new();
    const bool good = EVP_DigestVerifyInit(context, nullptr, EVP_sha256(), nullptr, signer.handle()) == 1 &&
                      EVP_DigestVerify(context, signature.data(), size, message.data(), message.size()) == 1;
    EVP_MD_CTX_free(context);
    if (!good) state.SkipWithError("OpenSSL refuses its own signature");
  }
}

void dcap_warm(benchmark::State& state) {
  const DcapVerifier verifier;
  for (auto _ : state) {
    const auto result = verifier.verify(evidence().quote, evidence().collateral, kDev, evidence().now);
    if (!result) state.SkipWithError("refused");
  }
}

void dcap_cold(benchmark::State& state) {
  for (auto _ : state) {
    const DcapVerifier verifier;
    const auto result = verifier.verify(evidence().quote, evidence().collateral, kDev, evidence().now);
    if (!result) state.SkipWithError("refused");
  }
}

void dcap_refuse_garbage_chain(benchmark::State& state) {
  ee::testing::EmulatedEvidence foreign;
  foreign.options.key_label = "somebody else";
  const Quote quote = foreign.quote();
  const DcapVerifier verifier;
  for (auto _ : state) {
    const auto result = verifier.verify_offline(quote, kDev, evidence().now);
    if (result) state.SkipWithError("accepted");
  }
}

BENCHMARK(openssl_p256_verify);
BENCHMARK(dcap_warm);
BENCHMARK(dcap_cold);
BENCHMARK(dcap_refuse_garbage_chain);

/// Keeps the fastest repetition of each benchmark, in nanoseconds of CPU time.
class Fastest final : public benchmark::ConsoleReporter {
 public:
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type != Run::RT_Iteration || run.error_occurred) continue;
      const double time = run.cpu_accumulated_time / static_cast<double>(run.iterations) * 1e9;
      const auto [entry, added] = times_.emplace(run.run_name.function_name, time);
      if (!added) entry->second = std::min(entry->second, time);
    }
    ConsoleReporter::ReportRuns(runs);
  }
  double of(const std::string& name) const {
    const auto found = times_.find(name);
    ee::require(found != times_.end());
    return found->second;
  }

 private:
  std::map<std::string, double> times_;
};

}  // namespace

int main(int argc, char** argv) {
  // Repetitions of all benchmarks are mixed, so that a slow moment of the machine hits none of them alone.
  std::vector<std::string> defaults = {argv[0], "--benchmark_repetitions=9", "--benchmark_min_time=0.1",
                                       "--benchmark_enable_random_interleaving=true",
                                       "--benchmark_report_aggregates_only=false"};
  for (int i = 1; i < argc; ++i) defaults.emplace_back(argv[i]);
  std::vector<char*> arguments;
  arguments.reserve(defaults.size());
  for (std::string& each : defaults) arguments.push_back(each.data());
  int count = static_cast<int>(arguments.size());
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 1;

  Fastest fastest;
  benchmark::RunSpecifiedBenchmarks(&fastest);
  const double verify = fastest.of("openssl_p256_verify");
  const double warm = fastest.of("dcap_warm") / verify;
  const double cold = fastest.of("dcap_cold") / verify;
  fmt::print(R"({{"id":"P1","openssl_p256_verify_us":{:.1f},"warm_ratio":{:.2f},"warm_target":2.5,"cold_ratio":{:.2f},)"
             R"("cold_target":20,"met":{}}})"
             "\n",
             verify / 1000, warm, cold, warm <= 2.5 && cold <= 20);
  return 0;
}
