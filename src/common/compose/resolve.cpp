#include "common/bytes.h"
#include "common/compose/compose.h"
#include "common/compose/measure_form.h"
#include "common/compose/rules.h"
#include "common/compose/values.h"
#include "common/crypto.h"

namespace ee::compose {

namespace bj = boost::json;

const std::string_view kForcedCapability = "NET_RAW";
const std::string_view kForcedHostAddress = "127.0.0.1";

Value forced_security_opt() { return bj::array{"no-new-privileges:true"}; }
Value forced_logging() {
  return bj::object{{"driver", "local"}, {"options", bj::object{{"max-file", "3"}, {"max-size", "10m"}}}};
}

namespace {

bj::string_view boost_view(std::string_view text) { return {text.data(), text.size()}; }

void force_address(bj::value& port) {
  const std::string prefix = std::string(kForcedHostAddress) + ":";
  if (auto* keys = port.if_object()) {
    (*keys)["host_ip"] = boost_view(kForcedHostAddress);
  } else if (auto& text = port.get_string(); !view(text).starts_with(prefix)) {
    const std::string with_address = prefix + std::string(view(text));
    text = boost_view(with_address);
  }
}

void force_capability(bj::object& service) {
  bj::value& drop = service["cap_drop"];
  if (!drop.is_array()) drop = bj::array();
  for (const bj::value& name : drop.get_array())
    if (name.is_string() && view(name) == kForcedCapability) return;
  drop.get_array().emplace_back(boost_view(kForcedCapability));
}

void force(bj::object& service, std::string_view image) {
  service["image"] = boost_view(image);
  service["security_opt"] = forced_security_opt();
  service["logging"] = forced_logging();
  force_capability(service);
  if (auto* ports = service.if_contains("ports"); ports != nullptr && ports->is_array())
    for (bj::value& port : ports->get_array()) force_address(port);
  if (auto* deploy = service.if_contains("deploy"); deploy != nullptr && deploy->is_object())
    deploy->get_object().erase("replicas");
  service.erase("restart");
}

Result<std::map<std::string, std::string>> check_pinned(const Workload& workload,
                                                        const std::map<std::string, std::string>& pinned) {
  std::map<std::string, std::string> out;
  for (const Service& service : workload.services) {
    const auto found = pinned.find(service.name);
    if (found == pinned.end()) return fail(ErrorCode::image_ref_invalid, "A service has no pinned reference.");
    const auto image = parse_image_ref(found->second);
    if (!image || image->pinned() != found->second)
      return fail(ErrorCode::image_ref_invalid, "A pinned reference is not host/path@sha256:...");
    if (image->repository() != service.image.repository())
      return fail(ErrorCode::digest_mismatch, "A pinned reference is to another repository than the file's.");
    out.emplace(service.name, found->second);
  }
  return out;
}

}  // namespace

std::optional<std::map<std::string, std::string>> own_digests(const Workload& workload) {
  std::map<std::string, std::string> out;
  for (const Service& service : workload.services) {
    const auto pinned = service.image.pinned();
    if (!pinned) return std::nullopt;
    out.emplace(service.name, *pinned);
  }
  return out;
}

Result<Resolved> resolve(const Workload& workload, const std::map<std::string, std::string>& pinned) {
  auto images = check_pinned(workload, pinned);
  if (!images) return fail(std::move(images.error()));
  bj::value tree = workload.accepted;
  for (auto& member : tree.get_object()["services"].get_object())
    force(member.value().get_object(), images->at(std::string(member.key().data(), member.key().size())));
  Resolved out;
  out.compose = canonical_compose(tree);
  if (out.compose.size() > kMaxResolvedBytes)
    return fail(ErrorCode::compose_invalid, "The resolved document is too long.");
  out.compose_sha256 = to_hex(sha256(bytes_of(out.compose)));
  out.compose_hash = compose_hash(workload.as_written);
  out.workload_hash = compose_hash(with_images(workload.as_written, *images));
  out.images = std::move(*images);
  return out;
}

}  // namespace ee::compose
