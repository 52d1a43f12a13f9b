#include <boost/json/value.hpp>

#include "cp/service/app_versions.h"

namespace ee::cp {
namespace {

struct Images {
  std::map<std::string, MeasuredImage> images;
};
BOOST_DESCRIBE_STRUCT(Images, (), (images))

struct Ingress {
  std::vector<VersionIngress> ingress;
};
BOOST_DESCRIBE_STRUCT(Ingress, (), (ingress))

VersionImage image_of(const MeasuredImage& image) {
  return {.reference = image.original,
          .digest = image.digest,
          .platform = image.platform,
          .signature = {.verified = image.signature.verified,
                        .identity = image.signature.signed_by,
                        .issuer = image.signature.issuer,
                        .log_index = image.signature.log_index,
                        .error = image.signature.error}};
}

}  // namespace

VersionObject version_object(const AppRow& app, const AppVersionRow& row, bool whole) {
  VersionObject out{.id = row.id,
                    .app = app.name,
                    .version = row.version,
                    .node_size = row.node_size,
                    .status = row.status,
                    .compose_sha256 = row.compose_sha256,
                    .compose_hash = row.compose_hash,
                    .workload_hash = row.workload_hash,
                    .mrtd = row.mrtd,
                    .health_path = row.health_path,
                    .source = {.commit = row.source_commit, .tag = row.source_tag},
                    .published_by = row.published_by,
                    .published_at = row.published_at,
                    .attested_at = row.attested_at,
                    .yanked_at = row.yanked_at};
  if (row.rejection_code) out.rejection = {.code = *row.rejection_code, .detail = row.rejection_detail.value_or("")};
  // Columns hold what was written from these structs.
  if (row.images)
    if (const auto read = json::read<Images>(R"({"images":)" + *row.images + "}"))
      for (const auto& [service, image] : read->images) {
        out.images.emplace(service, image_of(image));
        for (const std::string& warning : image.warnings) out.warnings.push_back(service + ": " + warning);
      }
  if (row.ingress)
    if (auto read = json::read<Ingress>(R"({"ingress":)" + *row.ingress + "}")) out.ingress = std::move(read->ingress);
  if (!whole) return out;
  out.compose = row.compose;
  if (row.measurement)
    if (auto read = json::read<Measurement>(*row.measurement)) out.measurement = std::move(*read);
  return out;
}

}  // namespace ee::cp
