#include "tests/support/compose_cases.h"

#include <fmt/format.h>

namespace ee::compose::testing {

std::vector<Case> name_cases() {
  const std::string digest = "sha256:" + std::string(64, 'b');
  const auto image = [](std::string_view text, std::vector<std::string> breaches) {
    return Case{fmt::format("services: {{web: {{image: {}}}}}\n", text), std::move(breaches)};
  };
  const auto services = [](int count) {
    return fmt::format("services: {{{}}}\n", list_of(count, fmt::format("s{{}}: {{{{image: '{}'}}}}", kImage)));
  };
  const auto dependent = [](std::string_view a, std::string_view b) {
    return fmt::format("services: {{a: {{image: '{0}', depends_on: {1}}}, b: {{image: '{0}', depends_on: {2}}}}}\n",
                       kImage, a, b);
  };
  std::vector<Case> out = {
      {"services: {web: {}}\n", {"services.web.image image_missing"}},
      image("null", {"services.web.image image_invalid"}),
      image("5", {"services.web.image image_invalid"}),
      image("''", {"services.web.image image_invalid"}),
      image("'http://a/b@" + digest + "'", {"services.web.image image_invalid"}),
      image("'nginx@sha512:" + std::string(128, 'b') + "'", {"services.web.image image_invalid"}),
      image("nginx", {"services.web.image image_unpinned"}),
      image("nginx:1.27", {"services.web.image image_unpinned"}),
      image("'ghcr.io/a/b:1@" + digest + "'", {}),
      image("'localhost:5000/a/b@" + digest + "'", {}),
      {services(16)},
      {services(17), {"services value_out_of_range"}},
      {"services: {}\n", {"services value_out_of_range"}},
      {"services: [a]\n", {"services value_out_of_range"}},
      {"volumes: {a: }\n", {"services value_out_of_range"}},
      {"services: {web: 5}\n", {"services.web value_out_of_range"}},
  };
  for (const std::string_view name : {"Web", "web_1", "-web", "web-", "../web", "web%2e", "w.b", "wéb", "аpp", "''"})
    out.push_back({fmt::format("services: {{{}: {{image: '{}'}}}}\n", name, kImage),
                   {fmt::format("services.{} value_out_of_range", name == "''" ? "" : name)}});
  const std::vector<Case> more = {
      service_case("environment: {A: x, B: 5, C: 1.5, D: true, E: ''}"),
      service_case("environment: [A=x, B=, 'C=a=b']"),
      service_case("environment: {A: , B: null}"),
      service_case("environment: [A, B]"),
      service_case("environment: {JAVA.opts: x}"),
      service_case("environment: {A: [x]}", {"environment.A value_out_of_range"}),
      service_case("environment: {'A B': x}", {"environment.A B value_out_of_range"}),
      service_case("environment: ['=x']", {"environment[0] value_out_of_range"}),
      service_case("environment: [A=1, A=2]", {"environment[1] value_out_of_range"}),
      service_case("environment: [{A: 1}]", {"environment[0] value_out_of_range"}),
      service_case("environment: text", {"environment value_out_of_range"}),
      service_case(fmt::format("environment: [{}]", list_of(128, "V{}=x"))),
      service_case(fmt::format("environment: [{}]", list_of(129, "V{}=x")), {"environment value_out_of_range"}),
      service_case("labels: {a.b: x, n: 5, t: true, e: }"),
      service_case("labels: [a.b=x, c]"),
      service_case(fmt::format("labels: [{}]", list_of(32, "l{}=x"))),
      service_case(fmt::format("labels: [{}]", list_of(33, "l{}=x")), {"labels value_out_of_range"}),
      service_case("labels: {com.easyenclave.instance: x}", {"labels.com.easyenclave.instance value_out_of_range"}),
      service_case("labels: {Com.Docker.compose: x}", {"labels.Com.Docker.compose value_out_of_range"}),
      service_case("labels: [com.docker.x=y]", {"labels[0] value_out_of_range"}),
      service_case("labels: {a: [x]}", {"labels.a value_out_of_range"}),
      service_case("labels: [a=1, a=2]", {"labels[1] value_out_of_range"}),
      service_case("secrets: [cert]"),
      service_case("secrets: ['../cert']", {"secrets[0] secret_unknown"}),
      service_case("secrets: [{source: cert}]", {"secrets[0] secret_unknown"}),
      service_case("secrets: cert", {"secrets secret_unknown"}),
      service_case("secrets: [cert, cert]", {"secrets[1] value_out_of_range"}),
      {service_file("") + "secrets: {cert: , key: {}}\n"},
      {service_file("") + "secrets: {cert: {file: /etc/shadow}}\n", {"secrets.cert.file key_not_allowed"}},
      {service_file("") + "secrets: {cert: {external: true}}\n", {"secrets.cert.external key_not_allowed"}},
      {service_file("") + "secrets: {cert: {environment: A}}\n", {"secrets.cert.environment key_not_allowed"}},
      {service_file("") + "secrets: {'../cert': }\n", {"secrets.../cert secret_unknown"}},
      {service_file("") + "secrets: {cert: 5}\n", {"secrets.cert value_out_of_range"}},
      {service_file("") + "secrets: [cert]\n", {"secrets value_out_of_range"}},
      {dependent("[b]", "[]")},
      {dependent("{b: {condition: service_started}}", "{}")},
      {dependent("{b: {condition: service_healthy}}", "null")},
      {dependent("{b: {condition: service_completed_successfully}}", "[]")},
      {dependent("{b: {condition: healthy}}", "[]"), {"services.a.depends_on.b.condition value_out_of_range"}},
      {dependent("{b: {}}", "[]"), {"services.a.depends_on.b.condition value_out_of_range"}},
      {dependent("{b: {condition: service_started, restart: true}}", "[]"),
       {"services.a.depends_on.b.restart key_not_allowed"}},
      {dependent("{b: }", "[]"), {"services.a.depends_on.b value_out_of_range"}},
      {dependent("[c]", "[]"), {"services.a.depends_on[0] value_out_of_range"}},
      {dependent("[b, b]", "[]"), {"services.a.depends_on[1] value_out_of_range"}},
      {dependent("b", "[]"), {"services.a.depends_on value_out_of_range"}},
      {dependent("[a]", "[]"), {"services.a.depends_on value_out_of_range"}},
      {dependent("[b]", "[a]"),
       {"services.a.depends_on value_out_of_range", "services.b.depends_on value_out_of_range"}},
  };
  out.insert(out.end(), more.begin(), more.end());
  return out;
}

std::vector<Case> expansion_cases() {
  const std::string image = "image: '" + kImage + "'";
  return {
      // Interpolation, wherever a text stands; its path says nothing else.
      service_case("command: 'echo $$HOME $5 a$ $(date)'"),
      service_case("command: '${HOME}'", {"command interpolation"}),
      service_case("command: [echo, $HOME]", {"command[1] interpolation"}),
      service_case("environment: {A: 'x${B:-y}'}", {"environment.A interpolation"}),
      service_case("environment: {A: $$$B}", {"environment.A interpolation"}),
      service_case("environment: {A: '$${B}'}"),
      service_case("labels: {'$a': x}", {"labels.$a interpolation"}),
      service_case("ports: ['${PORT}:80']", {"ports[0] interpolation"}),
      service_case("mem_limit: $_X", {"mem_limit interpolation"}),
      service_case("build: '${DIR}'", {"build interpolation"}),
      {"services: {web: {image: 'nginx:${TAG}'}}\n", {"services.web.image interpolation"}},
      {"services: {$web: {" + image + "}}\n", {"services.$web interpolation"}},
      // Aliases and merge keys are judged as what they stand for.
      {"x-a: &a {privileged: true}\nservices: {web: {" + image + ", <<: *a}}\n",
       {"services.web.privileged privileged"}},
      {"x-a: &a {privileged: false}\nservices: {web: {" + image + ", <<: *a}}\n"},
      {"x-a: &a {privileged: true}\nservices: {web: {<<: *a, " + image + ", privileged: false}}\n"},
      {"x-a: &a {pid: host}\nx-b: &b {ipc: host}\nservices: {web: {" + image + ", <<: [*a, *b]}}\n",
       {"services.web.ipc host_namespace", "services.web.pid host_namespace"}},
      {"x-a: &a {deep: {<<: &b {network_mode: host}}}\nservices: {web: {" + image + ", <<: *b}}\n",
       {"services.web.network_mode host_namespace"}},
      {"x-a: &a true\nservices: {web: {" + image + ", privileged: *a}}\n", {"services.web.privileged privileged"}},
      {"x-a: &a privileged\nservices: {web: {" + image + ", *a : true}}\n", {"services.web.privileged privileged"}},
      {"x-a: &a [/:/host]\nservices: {web: {" + image + ", volumes: *a}}\n", {"services.web.volumes[0] host_mount"}},
      {"services: {a: &a {" + image + ", cap_add: [ALL]}, b: *a}\n",
       {"services.a.cap_add privilege", "services.b.cap_add privilege"}},
      {"services: {a: &a {" + image + "}, b: *a}\n"},
      {"services: {web: {" + image + ", '<<': {privileged: true}}}\n", {"services.web.<< key_not_allowed"}},
      {"<<: {configs: {}}\nservices: {web: {" + image + "}}\n", {"configs key_not_allowed"}},
      {"services: {web: {" + image + ", ? privileged : true}}\n", {"services.web.privileged privileged"}},
      {"services: {web: {" + image + ", \"priv\\u0069leged\": true}}\n", {"services.web.privileged privileged"}},
      {"services: {web: {" + image + ", privileged: !!bool true}}\n", {"services.web.privileged privileged"}},
      {"services: {web: {" + image + ", privileged: !!str false}}\n", {"services.web.privileged privileged"}},
      {"{\"services\": {\"web\": {\"image\": \"" + kImage + "\"}}}"},
      {"%YAML 1.2\n---\nservices:\n  web:\n    " + image + "\n...\n"},
      // All breaches of a file are listed.
      service_case(
          "privileged: true, pid: host, build: ., volumes: ['/:/h'], ports: ['80:80']",
          {"privileged privileged", "pid host_namespace", "build build", "volumes[0] host_mount", "ports[0] port"}),
  };
}

}  // namespace ee::compose::testing
