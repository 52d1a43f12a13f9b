#include "common/compose/measure_form.h"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include "common/bytes.h"
#include "common/compose/values.h"
#include "common/crypto.h"
#include "common/json_jcs.h"
#include "common/require.h"

namespace ee::compose {
namespace {

namespace bj = boost::json;

constexpr std::size_t kMaxServices = 16;
constexpr std::string_view kHashContext{"easyenclave.compose.1\0", 22};

std::string_view name_of(const bj::key_value_pair& member) { return {member.key().data(), member.key().size()}; }

/// RFC 6901.
std::string pointer(const std::string& parent, std::string_view key) {
  std::string out = parent + "/";
  for (const char c : key) {
    if (c == '~')
      out += "~0";
    else if (c == '/')
      out += "~1";
    else
      out += c;
  }
  return out;
}

/// Adds a breach for each of `keys` that `value`, an object, has.
void refuse_keys(const bj::value& value, const std::string& path, std::initializer_list<std::string_view> keys,
                 std::vector<FieldError>& breaches) {
  const auto* object = value.if_object();
  if (object == nullptr) return;
  for (const std::string_view key : keys)
    if (object->contains(bj::string_view(key.data(), key.size())))
      breaches.push_back({pointer(path, key), "key_not_allowed", "This key is not allowed."});
}

void refuse_files(const bj::object& top, const char* key, std::vector<FieldError>& breaches) {
  const bj::value* section = top.if_contains(key);
  if (section == nullptr || !section->is_object()) return;
  for (const auto& member : section->get_object())
    refuse_keys(member.value(), pointer(pointer("", key), name_of(member)), {"file"}, breaches);
}

void read_service(const bj::key_value_pair& service, std::vector<ServiceImage>& images,
                  std::vector<FieldError>& breaches) {
  const std::string path = pointer("/services", name_of(service));
  refuse_keys(service.value(), path, {"build", "extends", "env_file"}, breaches);
  const auto* keys = service.value().if_object();
  const bj::value* image = keys == nullptr ? nullptr : keys->if_contains("image");
  const std::string at = pointer(path, "image");
  if (image == nullptr || !image->is_string())
    breaches.push_back({at, "image_missing", "The image is missing."});
  else if (has_interpolation(view(*image)))
    breaches.push_back({at, "interpolation", "Variables are not replaced."});
  else
    images.push_back({std::string(name_of(service)), std::string(view(*image))});
}

}  // namespace

Result<std::vector<ServiceImage>> images_to_measure(const boost::json::value& compose) {
  const auto* top = compose.if_object();
  const bj::value* services = top == nullptr ? nullptr : top->if_contains("services");
  const auto* map = services == nullptr ? nullptr : services->if_object();
  if (map == nullptr || map->empty() || map->size() > kMaxServices)
    return fail(ErrorCode::compose_invalid, "The file has no mapping of 1 to 16 services.");
  std::vector<ServiceImage> images;
  Error forbidden{.code = ErrorCode::compose_forbidden, .detail = "The compose file cannot be measured."};
  refuse_keys(compose, "", {"include"}, forbidden.fields);
  refuse_files(*top, "secrets", forbidden.fields);
  refuse_files(*top, "configs", forbidden.fields);
  for (const auto& service : *map) read_service(service, images, forbidden.fields);
  if (!forbidden.fields.empty()) return fail(std::move(forbidden));
  return images;
}

std::string canonical_compose(const boost::json::value& compose) {
  auto text = json::canonical_with_fractions(compose);
  require(text.has_value());  // read_compose refuses the numbers that have no canonical form
  return std::move(*text);
}

boost::json::value with_images(const boost::json::value& compose, const std::map<std::string, std::string>& pinned) {
  bj::value out = compose;
  auto* top = out.if_object();
  auto* services = top == nullptr ? nullptr : top->if_contains("services");
  if (services == nullptr || !services->is_object()) return out;
  for (auto& service : services->get_object()) {
    const auto found = pinned.find(std::string(name_of(service)));
    auto* keys = service.value().if_object();
    if (found != pinned.end() && keys != nullptr)
      (*keys)["image"] = bj::string_view(found->second.data(), found->second.size());
  }
  return out;
}

std::string compose_hash(const boost::json::value& compose) {
  return to_hex(sha256(bytes_of(std::string(kHashContext) + canonical_compose(compose))));
}

}  // namespace ee::compose
