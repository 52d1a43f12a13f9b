#pragma once
#include "cp/service/deployment_machine.h"

namespace ee::cp {

/// One application of a rule, on its way.
struct DeploymentMachine::Step {
  const DeploymentRow& before;
  const DeploymentRule& rule;
  const EventInputs& inputs;
  UtcTime now;
  DeploymentSettings settings;
  DeploymentRow after;
  std::string kind = "state";

  bool does(DeploymentEffect effect) const { return has(rule.effects, effect); }
};

}  // namespace ee::cp
