#include "agent/workload/channel.h"

#include "common/bytes.h"
#include "common/log.h"

namespace ee::agent {
namespace {

using namespace std::chrono_literals;

constexpr Milliseconds kFirstDelay = 1s;
constexpr Milliseconds kMostDelay = 60s;
constexpr std::size_t kMaxLogTail = 16UL * 1024;

ErrandResult after(const CallFailure& failure) {
  log::warn("workload", "call failed",
            {{"code", failure.code}, {"status", failure.status}, {"detail", failure.detail}});
  // Heartbeats see a credential or registration that is over, and act on it.
  const bool over =
      failure.status == 401 || failure.status == 404 || failure.status == 410 || failure.code == "cancelled";
  return over ? ErrandResult::done() : ErrandResult::retry(failure.retry_after);
}

}  // namespace

WorkloadChannel::WorkloadChannel(Board& board, ControlPlaneClient& client, Hooks hooks, Clock& clock, Random& random)
    : board_(board), client_(client), hooks_(std::move(hooks)), clock_(clock), runner_(clock, random) {
  const Backoff backoff(kFirstDelay, kMostDelay);
  runner_.add(kFetch, backoff, [this](const std::stop_token& stop) { return fetch_document(stop); });
  runner_.add(kReport, backoff, [this](const std::stop_token& stop) { return send_report(stop); });
}

void WorkloadChannel::fetch() { runner_.request(kFetch, clock_.steady_now()); }
void WorkloadChannel::changed() { runner_.request(kReport, clock_.steady_now()); }

ErrandResult WorkloadChannel::fetch_document(const std::stop_token& stop) {
  const auto session = board_.session();
  if (!session) return ErrandResult::done();
  auto document = client_.desired_deployment(session->identity, reconciler_->held_order(), stop);
  if (!document) return after(document.error());
  if (!*document) return ErrandResult::done();  // none wanted, or the one that is held
  const auto taken = reconciler_->take((*document)->body, (*document)->kid, (*document)->signature, DocumentPath::pull);
  if (!taken) {
    board_.fail_check("deployment_document", slug(taken.error().code));
    log::error("workload", "the wanted document is not usable",
               {{"code", taken.error().code}, {"detail", taken.error().detail}});
    return ErrandResult::done();  // asked for again with the next heartbeat
  }
  board_.clear_check("deployment_document");
  return ErrandResult::done();
}

CallResult<agent_api::StatusAnswer> WorkloadChannel::send(const Session& session,
                                                          const agent_api::WorkloadReport& report,
                                                          const std::stop_token& stop) {
  if (report.phase == agent_api::WorkloadPhase::running)
    if (const auto deployed = reconciler_->deployed_report(); deployed && deployed->workload == report)
      return client_.deployed(session.identity, *deployed, stop);
  agent_api::StatusRequest request{.workload = report, .at = board_.corrected_now()};
  if (report.phase == agent_api::WorkloadPhase::failed) {
    std::string tail = hooks_.log_tail();
    if (tail.size() > kMaxLogTail) tail.erase(0, tail.size() - kMaxLogTail);
    if (!tail.empty()) request.log_tail = to_base64(bytes_of(tail));
  }
  return client_.status(session.identity, request, stop);
}

ErrandResult WorkloadChannel::send_report(const std::stop_token& stop) {
  const auto session = board_.session();
  if (!session) return ErrandResult::done();  // the registration tells it
  if (told_in_ != session->identity.registration_id) told_.reset();
  told_in_ = session->identity.registration_id;
  if (const auto closing = reconciler_->take_closing_report())
    if (const auto answer = send(*session, *closing, stop); !answer)  // the next heartbeat says that nothing runs
      log::warn("workload", "the last report was not taken", {{"code", answer.error().code}});
  const auto report = reconciler_->report();
  if (!report) {
    hooks_.sync();
    told_.reset();
    return ErrandResult::done();
  }
  if (told_ == report) return ErrandResult::done();
  const auto answer = send(*session, *report, stop);
  if (!answer) {
    if (answer.error().status != 409) return after(answer.error());
    log::warn("workload", "the report was refused", {{"code", answer.error().code}});
    hooks_.sync();  // whose answer says what is wanted
    told_ = report;
    return ErrandResult::done();
  }
  told_ = report;
  reconciler_->apply(answer->desired);
  return ErrandResult::done();
}

}  // namespace ee::agent
