#include "tests/standins/pcs/pcs.h"

#include <fmt/format.h>

#include <stdexcept>

#include "net/server.h"

namespace ee::standins {
namespace {

/// As the PCS does: everything but unreserved characters (RFC 3986 section 2.3).
std::string percent_encode(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
                       c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

/// The value of a query parameter; empty when there is none.
std::string parameter(const std::string& query, const std::string& name) {
  const std::string padded = "&" + query + "&";
  const std::string wanted = "&" + name + "=";
  const std::size_t at = padded.find(wanted);
  if (at == std::string::npos) return {};
  const std::size_t from = at + wanted.size();
  return padded.substr(from, padded.find('&', from) - from);
}

std::string to_pem(const std::string& der) {
  constexpr std::size_t kLine = 64;
  const std::string base64 = to_base64(bytes_of(der));
  std::string pem = "-----BEGIN X509 CRL-----\n";
  for (std::size_t at = 0; at < base64.size(); at += kLine) pem += base64.substr(at, kLine) + "\n";
  return pem + "-----END X509 CRL-----\n";
}

net::Response not_found() { return {.status = 404, .body = "{}"}; }

}  // namespace

class Pcs::App final : public net::Application {
 public:
  explicit App(Pcs& pcs) : pcs_(pcs) {}
  net::Admission admit(const net::RequestHead& /*head*/) override { return {.route = &route_}; }
  net::Response handle(net::Request&& request) override { return pcs_.answer(request); }

 private:
  Pcs& pcs_;
  net::RouteInfo route_{.route_template = "/"};
};

Pcs::Pcs(PcsContent content) : content_(std::move(content)) {}
Pcs::~Pcs() { release(); }

void Pcs::start(std::uint16_t port) {
  app_ = std::make_unique<App>(*this);
  net::ServerConfig config;
  config.bind = fmt::format("127.0.0.1:{}", port);
  auto server = net::Server::start(std::move(config), *app_, clock_, random_);
  if (!server) throw std::runtime_error("the PCS stand-in cannot start: " + server.error());
  server_ = std::move(*server);
}

std::string Pcs::url() const { return server_->url(); }

void Pcs::set_content(PcsContent content) {
  const std::lock_guard lock(mutex_);
  content_ = std::move(content);
}

void Pcs::set_crl_form(PcsCrlForm form) {
  const std::lock_guard lock(mutex_);
  crl_form_ = form;
}

void Pcs::set_bad_signatures(bool on) {
  const std::lock_guard lock(mutex_);
  bad_signatures_ = on;
}

void Pcs::fail_next(std::vector<PcsFault> faults) {
  const std::lock_guard lock(mutex_);
  faults_.assign(faults.begin(), faults.end());
}

void Pcs::hold() {
  const std::lock_guard lock(mutex_);
  held_ = true;
}

void Pcs::release() {
  const std::lock_guard lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

void Pcs::wait_for_requests(std::size_t count) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return requests_.size() >= count; });
}

std::vector<PcsRequest> Pcs::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

net::Response Pcs::answer(const net::Request& request) {
  std::unique_lock lock(mutex_);
  requests_.push_back({request.path, request.query});
  changed_.notify_all();
  changed_.wait(lock, request.stop, [&] { return !held_; });
  if (!faults_.empty()) {
    const PcsFault fault = faults_.front();
    faults_.pop_front();
    net::Response response{.status = fault.status, .body = "{}", .drop = fault.drop};
    if (fault.retry_after_seconds)
      response.headers.push_back({"Retry-After", std::to_string(*fault.retry_after_seconds)});
    return response;
  }
  if (request.method != "GET") return {.status = 405};
  return find(request.path, request.query);
}

net::Response Pcs::find(const std::string& path, const std::string& query) const {
  if (path == "/tdx/certification/v4/tcb") {
    const auto found = content_.tcb_infos.find(parameter(query, "fmspc"));
    return found == content_.tcb_infos.end() ? not_found() : document(found->second, "TCB-Info-Issuer-Chain");
  }
  if (path == "/tdx/certification/v4/qe/identity")
    return document(content_.qe_identity, "SGX-Enclave-Identity-Issuer-Chain");
  if (path == "/sgx/certification/v4/pckcrl") {
    const auto found = content_.pck_crls.find(parameter(query, "ca"));
    return found == content_.pck_crls.end() ? not_found() : crl(found->second, "SGX-PCK-CRL-Issuer-Chain");
  }
  if (path == "/sgx/certification/v4/rootcacrl" || path == "/IntelSGXRootCA.der")
    return crl(content_.root_crl, nullptr);
  return not_found();
}

net::Response Pcs::document(const PcsContent::Item& item, const char* chain_header) const {
  net::Response response{
      .headers = {{"Content-Type", "application/json"}, {chain_header, percent_encode(item.issuer_chain)}},
      .body = item.body};
  if (bad_signatures_) {
    const std::size_t at = response.body.rfind("\"signature\":\"") + std::string_view("\"signature\":\"").size();
    response.body[at] = response.body[at] == '0' ? '1' : '0';
  }
  return response;
}

net::Response Pcs::crl(const PcsContent::Item& item, const char* chain_header) const {
  net::Response response;
  switch (crl_form_) {
    case PcsCrlForm::der:
      response.headers.push_back({"Content-Type", "application/pkix-crl"});
      response.body = item.body;
      break;
    case PcsCrlForm::pem:
      response.headers.push_back({"Content-Type", "application/x-pem-file"});
      response.body = to_pem(item.body);
      break;
    case PcsCrlForm::hex:
      response.headers.push_back({"Content-Type", "text/plain"});
      response.body = to_hex(bytes_of(item.body));
      break;
  }
  if (chain_header != nullptr) response.headers.push_back({chain_header, percent_encode(item.issuer_chain)});
  return response;
}

}  // namespace ee::standins
