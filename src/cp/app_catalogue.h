#pragma once
#include <memory>
#include <vector>

#include "common/posix_subprocess.h"
#include "cp/app.h"
#include "cp/http/catalogue_routes.h"
#include "cp/integration/cosign/cosign.h"
#include "cp/integration/registry/registry_client.h"
#include "cp/jobs/job.h"
#include "cp/service/measurement.h"
#include "net/rate_limiter.h"

namespace ee::cp {

/// The app catalogue and what measures its versions, composed. Everything lives as long as this.
class Catalogue {
 public:
  explicit Catalogue(App::Parts& parts);
  Catalogue(const Catalogue&) = delete;
  Catalogue& operator=(const Catalogue&) = delete;

  /// The deployment service measures raw compose texts by it.
  Measurer& measurer() { return measurer_; }
  const ShareSource& shares() const { return shares_; }
  void add_routes(std::vector<Route>& table);
  void add_jobs(std::vector<JobDefinition>& jobs);

 private:
  PosixSubprocessLauncher launcher_;
  registry::RegistryClient registries_;
  cosign::Cosign cosign_;
  Measurer measurer_;
  CallbackTokens tokens_;
  net::RateLimiter publishes_;
  Apps apps_;
  AppVersions versions_;
  VersionMeasuring measuring_;
  RevenueShares shares_;
  CatalogueRoutes routes_;
};

}  // namespace ee::cp
