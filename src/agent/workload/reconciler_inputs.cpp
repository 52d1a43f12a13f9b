// What is asked of the reconciler, by any thread: the slot of one that its worker takes from.
#include <algorithm>
#include <utility>

#include "agent/workload/reconciler.h"

namespace ee::agent {
namespace {

constexpr std::size_t kMaxNamed = 256;

}  // namespace

/// The key that new documents are compared with: the newest that was taken.
std::optional<HeldKey> Reconciler::accepted_locked() const {
  if (slot_) {
    if (!slot_->document) return std::nullopt;
    return HeldKey{.key = slot_->document->key};
  }
  if (working_on_) return HeldKey{.key = working_on_->key};
  if (stopping_ || !held_) return std::nullopt;
  return HeldKey{.key = key_of(*held_), .usable = held_->has_containers(), .rolled_back = held_->rolled_back};
}

void Reconciler::put_locked(Input input, bool cancel_work) {
  slot_ = std::move(input);
  if (cancel_work) work_.request_stop();
  waker_.wake();
}

bool Reconciler::is_known_locked(const agent_api::Desired& desired) const {
  const auto accepted = accepted_locked();
  const auto session = board_.session();
  return accepted && session && accepted->key.deployment_id == desired.deployment_id &&
         accepted->key.assignment_epoch == desired.assignment_epoch && accepted->key.revision == desired.revision &&
         accepted->key.registration_id == session->identity.registration_id;
}

void Reconciler::apply(const agent_api::Desired& desired) {
  bool fetch = false;
  {
    const std::lock_guard lock(mutex_);
    if (const auto session = board_.session(); session && session->identity.registration_id != named_in_) {
      named_in_ = session->identity.registration_id;
      named_.clear();
      tombstone_.reset();
      wanted_.reset();
      registered_at_ = clock_.steady_now();
    }
    switch (desired.action) {
      case agent_api::DesiredAction::keep: none_at_.reset(); break;
      case agent_api::DesiredAction::run:
        none_at_.reset();
        wanted_ = desired.deployment_id;
        if (desired.deployment_id && named_.size() < kMaxNamed) named_.insert(*desired.deployment_id);
        fetch = !is_known_locked(desired);
        break;
      case agent_api::DesiredAction::none: {
        wanted_.reset();
        const bool anything = accepted_locked().has_value();
        if (!anything) break;
        const SteadyTime at = clock_.steady_now() + Seconds(desired.grace_seconds.value_or(0));
        none_at_ = none_at_ ? std::min(*none_at_, at) : at;
        if (*none_at_ <= clock_.steady_now()) {
          none_at_.reset();
          put_locked({}, true);
        } else {
          waker_.wake();
        }
      }
    }
  }
  if (fetch) hooks_.fetch();
}

void Reconciler::stop_all() {
  const std::lock_guard lock(mutex_);
  none_at_.reset();
  if (held_ || slot_ || working_on_) put_locked({}, true);
}

Result<std::shared_ptr<Reconciler::Incoming>> Reconciler::verify(std::string_view body, std::string_view kid,
                                                                 std::string_view signature, DocumentPath path) {
  const auto session = board_.session();
  if (!session) return fail(ErrorCode::agent_not_active, "not registered");
  auto document = read_document(*session, body, kid, signature);
  if (!document) return fail(std::move(document.error()));
  auto incoming = std::make_shared<Incoming>();
  auto opened = open_document(*document, session->identity.agent_id, keys_.sealing);
  if (opened) {
    incoming->opened = std::move(*opened);
    board_.clear_check("seal_refused");
  } else {
    incoming->seal_error = opened.error();
    board_.fail_check("seal_refused", slug(opened.error().code));
  }
  incoming->key = {.deployment_id = document->deployment_id,
                   .assignment_epoch = document->assignment_epoch,
                   .revision = document->revision,
                   .registration_id = session->identity.registration_id,
                   .content_sha256 = content_hash(*document, incoming->opened, options_.content_key)};
  incoming->path = path;
  document->secrets.reset();  // opened; nobody needs the ciphertext any more
  document->registry_auth.reset();
  incoming->document = std::move(*document);
  return incoming;
}

Result<Reconciler::TakeResult> Reconciler::take(std::string_view body, std::string_view kid, std::string_view signature,
                                                DocumentPath path) {
  auto incoming = verify(body, kid, signature, path);
  if (!incoming) return fail(std::move(incoming.error()));
  const DocumentKey& key = (*incoming)->key;
  if (path == DocumentPath::push) {
    const auto checked =
        check_compose((*incoming)->document, (*incoming)->seal_error ? nullptr : &(*incoming)->opened, options_.place);
    if (!checked) return fail(checked.error());
  }
  const std::lock_guard lock(mutex_);
  if (named_.size() < kMaxNamed) named_.insert(key.deployment_id);
  const bool was_stopped =
      tombstone_ && tombstone_->deployment_id == key.deployment_id &&
      tombstone_->registration_id == key.registration_id &&
      std::pair(key.assignment_epoch, key.revision) <= std::pair(tombstone_->assignment_epoch, tombstone_->revision);
  if (was_stopped && path == DocumentPath::push) return TakeResult{.taken = Taken::older};
  const auto accepted = accepted_locked();
  const Decision decision = decide(accepted, key, path);
  switch (decision) {
    case Decision::older: return TakeResult{.taken = Taken::older};
    case Decision::held_by_other:
      return TakeResult{.taken = Taken::held_by_other, .held_deployment_id = accepted->key.deployment_id};
    case Decision::nothing: {
      const bool same_access = !slot_ && !working_on_ && held_->document.access == (*incoming)->document.access;
      if (accepted->key.registration_id == key.registration_id && same_access)
        return TakeResult{.taken = Taken::already};
      // Only to be known under this registration, or to let in those that may call now.
      put_locked({.document = std::move(*incoming)}, false);
      return TakeResult{.taken = Taken::already};
    }
    case Decision::adopt: put_locked({.document = std::move(*incoming)}, false); break;
    case Decision::deploy:
    case Decision::upgrade:
    case Decision::replace: put_locked({.document = std::move(*incoming)}, true); break;
  }
  none_at_.reset();
  return TakeResult{};
}

Reconciler::Undeploy Reconciler::undeploy(std::string_view deployment_id, std::int64_t assignment_epoch) {
  const std::lock_guard lock(mutex_);
  const auto accepted = accepted_locked();
  if (!accepted) {
    const bool going = stopping_ || slot_;
    return going && held_ && held_->deployment_id == deployment_id ? Undeploy::stopping : Undeploy::nothing;
  }
  if (accepted->key.deployment_id != deployment_id) return Undeploy::held_by_other;
  if (assignment_epoch < accepted->key.assignment_epoch) return Undeploy::nothing;
  tombstone_ = accepted->key;
  put_locked({}, true);
  return Undeploy::stopping;
}

}  // namespace ee::agent
