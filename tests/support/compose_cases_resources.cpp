#include "tests/support/compose_cases.h"

#include <fmt/format.h>

namespace ee::compose::testing {

std::vector<Case> storage_cases() {
  std::vector<Case> out;
  for (const std::string_view source :
       {"/var/run/docker.sock", "/", "./data", ".", "..", "../x", "~", "~/x", "~root", "a/b", "a.b", "C:/data",
        "C:\\data", "c:\\", "//./pipe/docker_engine", "\\\\.\\pipe\\docker_engine", "/run/podman/podman.sock"})
    out.push_back(service_case(fmt::format("volumes: ['{}:/x']", source), {"volumes[0] host_mount"}));
  for (const std::string_view text :
       {"/x", "data", "nowhere:/x", "data:x", "data:/", "data:/../x", "data:/a//b", "data:/a/", "data:/proc/x",
        "data:/run/secrets", "data:/x:z", "data:/x:ro,z", "data:/x:ro:ro", ":/x", "data:", "DATA:/x"})
    out.push_back(service_case(fmt::format("volumes: ['{}']", text), {"volumes[0] volume"}));
  for (const std::string_view type : {"bind", "npipe", "cluster"})
    out.push_back(service_case(fmt::format("volumes: [{{type: {}, source: data, target: /x}}]", type),
                               {"volumes[0].type host_mount"}));
  const std::vector<Case> more = {
      service_case("volumes: [data:/x]"),
      service_case("volumes: [data:/x:ro, logs:/y:rw]"),
      service_case("volumes: [{type: volume, source: data, target: /x, read_only: true}]"),
      service_case("volumes: [{type: tmpfs, target: /x, tmpfs: {size: 8g, mode: 0o1777}}]",
                   {"volumes[0].tmpfs.size value_out_of_range"}),  // the node has 4
      service_case("volumes: [{type: tmpfs, target: /x, tmpfs: {size: 4g, mode: 0o1777}}]"),
      service_case("volumes: [{type: tmpfs, target: /x, tmpfs: {mode: 4096}}]",
                   {"volumes[0].tmpfs.mode value_out_of_range"}),
      service_case("volumes: [{type: tmpfs, target: /x, source: data}]", {"volumes[0].source volume"}),
      service_case("volumes: [data:/x, logs:/x]", {"volumes[1] volume"}),
      service_case("volumes: [data:/var/run/docker.sock]", {"volumes[0] host_mount"}),
      service_case("volumes: [{type: bind, source: /etc, target: /x}]",
                   {"volumes[0].type host_mount", "volumes[0].source host_mount"}),
      service_case("volumes: [{type: volume, source: /etc, target: /x}]", {"volumes[0].source host_mount"}),
      service_case("volumes: [{type: Bind, source: data, target: /x}]", {"volumes[0].type volume"}),
      service_case("volumes: [{source: data, target: /x}]", {"volumes[0].type volume"}),
      service_case("volumes: [{type: volume, target: /x}]", {"volumes[0].source volume"}),
      service_case("volumes: [{type: volume, source: data}]", {"volumes[0].target volume"}),
      service_case("volumes: [{type: volume, source: data, target: /x, bind: {propagation: shared}}]",
                   {"volumes[0].bind host_mount"}),
      service_case("volumes: [{type: volume, source: data, target: /x, volume: {subpath: a}}]",
                   {"volumes[0].volume volume"}),
      service_case("volumes: [{type: volume, source: data, target: /x, read_only: 'false'}]",
                   {"volumes[0].read_only volume"}),
      service_case("volumes: [5]", {"volumes[0] volume"}),
      service_case("volumes: data:/x", {"volumes volume"}),
      service_case("tmpfs: /tmp"),
      service_case("tmpfs: ['/tmp:size=64m,mode=1777', /run]"),
      service_case(fmt::format("tmpfs: [{}]", list_of(8, "/t{}"))),
      service_case(fmt::format("tmpfs: [{}]", list_of(9, "/t{}")), {"tmpfs value_out_of_range"}),
      service_case("tmpfs: ['/tmp:size=9g']", {"tmpfs[0] value_out_of_range"}),
      service_case("tmpfs: ['/tmp:exec']", {"tmpfs[0] value_out_of_range"}),
      service_case("tmpfs: ['/tmp:mode=8']", {"tmpfs[0] value_out_of_range"}),
      service_case("tmpfs: ['/tmp', '/tmp']", {"tmpfs[1] value_out_of_range"}),
      service_case("tmpfs: tmp", {"tmpfs value_out_of_range"}),
      service_case("tmpfs: /proc", {"tmpfs value_out_of_range"}),
      service_case("tmpfs: {a: b}", {"tmpfs value_out_of_range"}),
  };
  out.insert(out.end(), more.begin(), more.end());
  const auto top = [&](std::string_view volumes, std::vector<std::string> breaches) {
    out.push_back(
        {fmt::format("services: {{web: {{image: '{}'}}}}\nvolumes: {}\n", kImage, volumes), std::move(breaches)});
  };
  top("{a: {driver: local}, b: {external: false}, c: {}}", {});
  top("null", {});
  top("{a: {driver: nfs}}", {"volumes.a.driver volume"});
  top("{a: {driver_opts: {type: none, o: bind, device: /}}}", {"volumes.a.driver_opts volume"});
  top("{a: {driver_opts: null}}", {"volumes.a.driver_opts volume"});
  top("{a: {external: true}}", {"volumes.a.external volume"});
  top("{a: {external: 'false'}}", {"volumes.a.external volume"});
  top("{a: {name: other}}", {"volumes.a.name volume"});
  top("{a: 5}", {"volumes.a volume"});
  top("{/etc: }", {"volumes./etc host_mount"});
  top("{'a b': }", {"volumes.a b volume"});
  top("[a]", {"volumes volume"});
  return out;
}

std::vector<Case> network_cases() {
  std::vector<Case> out;
  for (const std::string_view port : {"80",
                                      "8080",
                                      "0.0.0.0:8080:80",
                                      ":8080:80",
                                      "127.0.0.2:8080:80",
                                      "::1:8080:80",
                                      "[::1]:8080:80",
                                      "localhost:8080:80",
                                      "8080-8081:80-81",
                                      "8080:80-81",
                                      "8080:80/udp",
                                      "8080:80/sctp",
                                      "8080:80/TCP",
                                      "1023:80",
                                      "0:80",
                                      "65536:80",
                                      "8080:0",
                                      "8080:65536",
                                      "80:80",
                                      "8088:80",
                                      "8089:80",
                                      "9100:80",
                                      "8080:",
                                      ":80",
                                      "8080:80:80:80",
                                      "a:b",
                                      "+8080:80",
                                      " 8080:80"})
    out.push_back(service_case(fmt::format("ports: ['{}']", port), {"ports[0] port"}));
  for (const std::string_view port :
       {"8080:80", "1024:1", "65535:65535", "8080:80/tcp", "127.0.0.1:8080:80", "127.0.0.1:8080:80/tcp"})
    out.push_back(service_case(fmt::format("ports: ['{}']", port)));
  const std::vector<Case> more = {
      service_case("ports: [8080:80]"),  // one text: YAML 1.2 knows no base 60
      service_case("ports: [80]", {"ports[0] port"}),
      service_case("ports: 8080:80", {"ports port"}),
      service_case("ports: ['8080:80', '8080:81']", {"ports[1] port_conflict"}),
      service_case("ports: ['8080:80', '8081:80']"),
      service_case("ports: [{target: 80, published: 8080}]"),
      service_case("ports: [{target: 80, published: '8080', protocol: tcp, host_ip: 127.0.0.1, mode: ingress}]"),
      service_case("ports: [{target: 80}]", {"ports[0] port"}),
      service_case("ports: [{published: 8080}]", {"ports[0] port"}),
      service_case("ports: [{target: 80, published: 8080-8081}]", {"ports[0] port"}),
      service_case("ports: [{target: 80, published: 80}]", {"ports[0] port"}),
      service_case("ports: [{target: 80, published: 8080, protocol: udp}]", {"ports[0].protocol port"}),
      service_case("ports: [{target: 80, published: 8080, host_ip: 0.0.0.0}]", {"ports[0].host_ip port"}),
      service_case("ports: [{target: 80, published: 8080, host_ip: ''}]", {"ports[0].host_ip port"}),
      service_case("ports: [{target: 80, published: 8080, name: web}]", {"ports[0].name port"}),
      service_case("expose: [80, '81', 82/tcp]"),
      service_case("expose: [0]", {"expose[0] value_out_of_range"}),
      service_case("expose: ['53/udp']", {"expose[0] value_out_of_range"}),
      service_case("expose: ['80-81']", {"expose[0] value_out_of_range"}),
      service_case("expose: 80", {"expose value_out_of_range"}),
      service_case("networks: [back, default]"),
      service_case("networks: {back: , front: {aliases: [db, cache]}}"),
      service_case(fmt::format("networks: {{back: {{aliases: [{}]}}}}", list_of(8, "a{}"))),
      service_case(fmt::format("networks: {{back: {{aliases: [{}]}}}}", list_of(9, "a{}")),
                   {"networks.back.aliases network"}),
      service_case("networks: {back: {aliases: [a_b]}}", {"networks.back.aliases[0] network"}),
      service_case("networks: {back: {ipv4_address: 10.0.0.1}}", {"networks.back.ipv4_address network"}),
      service_case("networks: [host]", {"networks[0] network"}),
      service_case("networks: [back, back]", {"networks[1] network"}),
      service_case("networks: back", {"networks network"}),
  };
  out.insert(out.end(), more.begin(), more.end());
  const auto top = [&](std::string_view networks, std::vector<std::string> breaches) {
    out.push_back(
        {fmt::format("services: {{web: {{image: '{}'}}}}\nnetworks: {}\n", kImage, networks), std::move(breaches)});
  };
  top("{a: {driver: bridge, internal: true, external: false}, default: {internal: true}}", {});
  top("null", {});
  top(fmt::format("{{{}}}", list_of(8, "n{}: ")), {});
  top(fmt::format("{{{}}}", list_of(9, "n{}: ")), {"networks network"});
  top("{a: {driver: host}}", {"networks.a.driver network"});
  top("{a: {driver: macvlan}}", {"networks.a.driver network"});
  top("{a: {external: true}}", {"networks.a.external network"});
  top("{a: {external: {name: host}}}", {"networks.a.external network"});
  top("{a: {ipam: {}}}", {"networks.a.ipam network"});
  top("{a: {driver_opts: {}}}", {"networks.a.driver_opts network"});
  top("{a: {name: host}}", {"networks.a.name network"});
  top("{a: {attachable: true}}", {"networks.a.attachable network"});
  top("{a: {internal: 'true'}}", {"networks.a.internal network"});
  top("{../a: }", {"networks.../a network"});
  const std::string two =
      "services: {{a: {{image: '{0}', ports: ['8080:80']}}, b: {{image: '{0}', ports: ['{1}:80']}}}}";
  out.push_back({fmt::format(fmt::runtime(two), kImage, 8081)});
  out.push_back({fmt::format(fmt::runtime(two), kImage, 8080), {"services.b.ports[0] port_conflict"}});
  return out;
}

}  // namespace ee::compose::testing
