#include "cp/service/measurement.h"

#include <algorithm>
#include <atomic>
#include <boost/json/value.hpp>
#include <thread>

#include "common/bytes.h"
#include "common/compose/measure_form.h"
#include "common/crypto.h"
#include "common/deadline_stop.h"

namespace ee::cp {
namespace {

constexpr std::string_view kDisabled = "signature_check_disabled";

struct Service {
  std::string name;
  std::string original;
  std::size_t reference = 0;  ///< index among the different ones
};

/// The services of a file, sorted by name, and the different images that they name.
struct Wanted {
  std::vector<Service> services;
  std::vector<ImageRef> references;
};

Result<Wanted> wanted_of(const boost::json::value& compose) {
  auto found = compose::images_to_measure(compose);
  if (!found) return std::unexpected(std::move(found.error()));
  std::ranges::sort(*found, {}, &compose::ServiceImage::service);
  Wanted out;
  for (compose::ServiceImage& image : *found) {
    auto reference = parse_image_ref(image.image);
    if (!reference) return std::unexpected(std::move(reference.error()));
    const auto same = std::ranges::find(out.references, *reference);
    const auto index = static_cast<std::size_t>(same - out.references.begin());
    if (same == out.references.end()) out.references.push_back(std::move(*reference));
    out.services.push_back({.name = std::move(image.service), .original = std::move(image.image), .reference = index});
  }
  return out;
}

/// `ok` and the slugs of what can go wrong with images.
std::vector<std::string> outcomes() {
  std::vector<std::string> out = {"ok"};
  for (const ErrorInfo& info : error_table())
    if (info.area == "images") out.emplace_back(info.slug);
  return out;
}

}  // namespace

Measurer::Measurer(Parts parts)
    : parts_(std::move(parts)),
      images_(parts_.metrics.counter("ee_image_measurements_total", "Images that were measured, by what came of it.",
                                     {{"result", outcomes()}})),
      signatures_(parts_.metrics.counter("ee_cosign_total", "Signatures that were checked, by what came of it.",
                                         {{"outcome", outcomes()}})) {}

Result<registry::ResolvedImage> Measurer::look_up(const ImageRef& reference, const AccountId& account,
                                                  const std::stop_token& stop) const {
  return parts_.registries.resolve(parts_.settings().registries, reference, account, stop);
}

bool is_transient(ErrorCode code) {
  switch (code) {
    case ErrorCode::registry_unavailable:
    case ErrorCode::cosign_timeout:
    case ErrorCode::signature_error:
    case ErrorCode::measurement_timeout:
    case ErrorCode::measurement_unavailable: return true;
    default: return false;
  }
}

Result<void> apply_signature_mode(SignatureMode mode, MeasuredImage& image) {
  if (mode == SignatureMode::disabled) {
    image.signature = {};
    image.warnings.emplace_back(kDisabled);
    return {};
  }
  if (image.signature.verified == true) return {};
  const std::string why = image.signature.error.value_or(std::string(slug(ErrorCode::signature_missing)));
  image.signature = {.verified = false, .error = why};
  if (mode == SignatureMode::strict)
    return fail(error_code_of(why).value_or(ErrorCode::signature_error), "the signature of an image is not good");
  image.warnings.push_back(why);
  return {};
}

Result<MeasuredImage> Measurer::measure_image(const ImageRef& reference, const SignaturePolicy& policy,
                                              const MeasureSettings& settings, const AccountId& account,
                                              const std::stop_token& stop) const {
  auto resolved = parts_.registries.resolve(settings.registries, reference, account, stop);
  if (!resolved) return std::unexpected(std::move(resolved.error()));
  MeasuredImage out{.pinned = resolved->pinned,
                    .digest = resolved->manifest_digest,
                    .index_digest = resolved->index_digest,
                    .platform = std::string(registry::kPlatform)};
  if (reference.implicit_latest) out.warnings.emplace_back("implicit_latest");
  std::string detail;
  if (policy.mode != SignatureMode::disabled) {
    cosign::Image image{.repository = reference.repository(),
                        .index_digest = resolved->index_digest,
                        .manifest_digest = resolved->manifest_digest};
    if (const auto* const login = settings.registries.credential_for(reference.host, account))
      image.login = {.host = reference.host, .username = login->username, .password = login->password};
    auto signature = parts_.cosign.verify(settings.cosign_binary, policy.rule, image, stop);
    signatures_.with({signature ? "ok" : slug(signature.error().code)}).increment();
    if (signature) {
      out.signature = {.verified = true,
                       .signed_by = std::move(signature->signed_by),
                       .issuer = std::move(signature->issuer),
                       .log_index = signature->log_index};
    } else {
      out.signature = {.verified = false, .error = std::string(slug(signature.error().code))};
      detail = std::move(signature.error().detail);
    }
  }
  if (auto judged = apply_signature_mode(policy.mode, out); !judged)
    return fail(judged.error().code, detail.empty() ? judged.error().detail : detail);
  return out;
}

Result<Measurement> Measurer::measure_compose(std::string_view compose, std::string_view platform,
                                              const SignaturePolicy& policy, const AccountId& account,
                                              const std::stop_token& stop, Milliseconds timeout) const {
  if (platform != registry::kPlatform)
    return fail(ErrorCode::platform_not_found, "only images for linux/amd64 can be run");
  const auto read = compose::read_compose(compose);
  if (!read) return std::unexpected(read.error());
  const auto wanted = wanted_of(*read);
  if (!wanted) return std::unexpected(wanted.error());

  const MeasureSettings settings = parts_.settings();
  const SteadyTime ends_at = parts_.clock.steady_now() + std::min(timeout, kTimeout);
  const DeadlineStop deadline(parts_.clock, ends_at, stop);
  std::vector<std::optional<Result<MeasuredImage>>> results(wanted->references.size());
  std::atomic<std::size_t> next = 0;
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < std::min(kParallel, results.size()); ++i)
      threads.emplace_back([&] {
        for (std::size_t at = next++; at < results.size() && !deadline.token().stop_requested(); at = next++) {
          results[at] = measure_image(wanted->references[at], policy, settings, account, deadline.token());
          images_.with({*results[at] ? "ok" : slug(results[at]->error().code)}).increment();
        }
      });
  }
  const bool out_of_time = !stop.stop_requested() && deadline.token().stop_requested();

  Measurement out{.measured_at = parts_.clock.now(),
                  .compose_sha256 = to_hex(sha256(bytes_of(compose))),
                  .compose_hash = compose::compose_hash(*read)};
  std::map<std::string, std::string> pinned;
  for (const Service& service : wanted->services) {
    const auto& result = results[service.reference];
    if (!result || (!*result && out_of_time))
      return fail(ErrorCode::measurement_timeout, "the images were not measured in time");
    if (!*result) return std::unexpected(result->error());
    MeasuredImage image = **result;
    image.original = service.original;
    pinned[service.name] = image.pinned;
    out.images.emplace(service.name, std::move(image));
  }
  const boost::json::value as_pinned = compose::with_images(*read, pinned);
  out.pinned_compose = compose::canonical_compose(as_pinned);
  out.workload_hash = compose::compose_hash(as_pinned);
  return out;
}

}  // namespace ee::cp
