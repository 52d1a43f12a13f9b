#include "tests/e2e/site.h"

#include <boost/json/serialize.hpp>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include "common/crypto.h"
#include "common/json.h"

namespace ee::testing {
namespace {

constexpr int kPatienceMs = 90'000;

boost::json::array list_of(const RealEngine& engine, const std::string& target) {
  const auto answer = json::parse(engine.call("GET", target).body);
  return answer && answer->is_array() ? answer->as_array() : boost::json::array{};
}

std::string name_of(const boost::json::value& container) {
  const std::string name = text_at(container, "/Names/0");
  return name.starts_with('/') ? name.substr(1) : name;
}

std::string text_of_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

Site::Site(std::unique_ptr<RealEngine> engine, int agents, Environment environment) : engine_(std::move(engine)) {
  Environment all = {{"EE_REGISTRY_INSECURE_HOSTS", engine_->registry()},
                     {"EE_REGISTRY_ALLOWED_PRIVATE_HOSTS", engine_->registry()},
                     {"EE_SECRETS_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}};
  environment.merge(all);
  control_plane_ = std::make_unique<ControlPlaneProcess>(std::move(environment));
  control_plane_->start();
  admin_ = control_plane_->sign_in();
  for (int i = 0; i < agents; ++i) {
    agents_.push_back(std::make_unique<AgentProcess>(*control_plane_, i + 1,
                                                     Environment{{"EE_AGENT_CONTAINER_RUNTIME", "docker"},
                                                                 {"EE_AGENT_CONTAINER_SOCKET", engine_->socket()},
                                                                 {"EE_AGENT_ORPHAN_GRACE_SECONDS", "1"}}));
    agents_.back()->start();
  }
  const auto ready = [&] {
    return count_agents("health_status=healthy&status=undeployed") == static_cast<std::size_t>(agents);
  };
  if (!eventually(ready, kPatienceMs)) throw std::runtime_error("the agents do not get ready:\n" + logs());
}

Site::~Site() = default;

AgentProcess& Site::agent_named(const std::string& vm_name) {
  for (const auto& agent : agents_)
    if (agent->name() == vm_name) return *agent;
  throw std::runtime_error("no agent " + vm_name);
}

boost::json::value Site::as_admin(int status, const std::string& method, const std::string& path,
                                  const std::string& body, std::vector<HttpHeader> more) {
  more.push_back({"Authorization", "Bearer " + admin_});
  const auto answer = control_plane_->call(method, path, body, std::move(more));
  if (answer.status != status)
    throw std::runtime_error(method + " " + path + ": " + std::to_string(answer.status) + " " + answer.body);
  return json::parse(answer.body).value_or(nullptr);
}

std::size_t Site::count_agents(const std::string& query) {
  const auto found = json::parse(
      control_plane_->call("GET", "/api/v1/agents?" + query, "", {{"Authorization", "Bearer " + admin_}}).body);
  if (!found || !found->is_object()) return 0;
  const auto* const items = found->as_object().if_contains("items");
  return items != nullptr && items->is_array() ? items->as_array().size() : 0;
}

std::vector<std::string> Site::containers(const std::string& state) const {
  std::vector<std::string> names;
  for (const auto& each : list_of(*engine_, "/v1.41/containers/json?all=true"))
    if (state.empty() || text_at(each, "/State") == state) names.push_back(name_of(each));
  std::ranges::sort(names);
  return names;
}

std::size_t Site::networks() const {
  return list_of(*engine_, R"(/v1.41/networks?filters=%7B%22type%22%3A%5B%22custom%22%5D%7D)").size();
}

std::size_t Site::volumes() const {
  const auto answer = json::parse(engine_->call("GET", "/v1.41/volumes").body);
  if (!answer || !answer->is_object()) return 0;
  const auto* const all = answer->as_object().if_contains("Volumes");
  return all != nullptr && all->is_array() ? all->as_array().size() : 0;
}

boost::json::value Site::inspect(const std::string& container) const {
  return json::parse(engine_->call("GET", "/v1.41/containers/" + container + "/json").body).value_or(nullptr);
}

std::map<std::string, std::string> Site::started() const {
  std::map<std::string, std::string> all;
  for (const std::string& name : containers()) {
    const auto state = inspect(name);
    if (text_at(state, "/State/Status") != "created") all[name] = text_at(state, "/State/StartedAt");
  }
  return all;
}

std::string Site::leftovers() const {
  std::string left;
  for (const std::string& name : containers()) left += "container " + name + "\n";
  if (const auto count = networks(); count > 0) left += std::to_string(count) + " networks\n";
  if (const auto count = volumes(); count > 0) left += std::to_string(count) + " volumes\n";
  ChildProcess nft({"/usr/sbin/nft", "list", "tables"}, {}, control_plane_->dir() / "tables.txt");
  (void)nft.wait(20'000);
  const std::string tables = nft.output();
  for (const auto& agent : agents_) {
    const auto secrets = agent->folder() / "run" / "secrets";
    if (std::filesystem::exists(secrets))
      for (const auto& entry : std::filesystem::recursive_directory_iterator(secrets))
        left += "file " + entry.path().string() + "\n";
    const std::string instance = text_of_file(agent->folder() / "instance");
    const std::string table = "ee_agent_" + to_hex(sha256(bytes_of(instance))).substr(0, 12);
    if (tables.contains(table)) left += "table " + table + "\n";
  }
  std::filesystem::remove(control_plane_->dir() / "tables.txt");
  return left;
}

void Site::open_gates() const {
  for (const std::string& name : containers("running"))
    if (name.ends_with("-store")) (void)engine_->exec(name, {"/bin/touch", "/tmp/ready"});
}

std::string Site::logs() const {
  std::string all = "control plane:\n" + (control_plane_->process() ? control_plane_->process()->output() : "");
  for (const auto& agent : agents_) all += "\n" + agent->name() + ":\n" + agent->output();
  return all + "\ndockerd:\n" + engine_->log();
}

bool Site::stop() {
  bool clean = true;
  for (const auto& agent : agents_)
    if (agent->process() != nullptr && agent->process()->running()) clean = agent->stop() == 0 && clean;
  return control_plane_->stop() == 0 && clean;
}

std::string TwoServices::text() const {
  const std::string store =
      broken ? "sleep 1; exit 3" : "rm -f /tmp/ready; echo the store waits; while true; do sleep 1; done";
  std::string out = R"(services:
  store:
    image: )" + image +
                    R"(
    command: [/bin/sh, -c, ")" +
                    store + R"("]
    init: true
    healthcheck: {test: [CMD, /bin/test, -e, /tmp/ready], interval: 1s, timeout: 5s, retries: 1000}
    volumes: ["data:/data"]
  web:
    image: )" + image +
                    R"(
    command: [/bin/sh, -c, "echo the web server starts; mkdir -p /tmp/w; echo )" +
                    page + R"( > /tmp/w/index.html; nc -ll -p 81 -e /bin/websocket & exec httpd -f -p 80 -h /tmp/w"]
    init: true
    depends_on: {store: {condition: service_healthy}}
    ports: [")" + std::to_string(port) +
                    ":80\", \"" + std::to_string(port + 1) + ":81\"]\n";
  if (!secret.empty()) out += "    secrets: [" + secret + "]\nsecrets: {" + secret + ": }\n";
  return out + "volumes: {data: {}}\n";
}

}  // namespace ee::testing
