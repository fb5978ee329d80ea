// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/prometheus.hpp"

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/error.hpp"
#include "server.hpp"

namespace {

using namespace umbra;
using metrics::prometheus;
using metrics::PrometheusOptions;
using metrics::test::Server;

/// Two domains on one host, one of them without a uuid, and the host itself; every later query must carry the instant.
const char* const answers = R"(
q = query['query'][0]
at = query.get('time', ['1700000000.5'])[0]
first = q == 'libvirt_domain_info_cpu_time_seconds_total'
if first == ('time' in query): return 400, '{"status":"error","error":"instant"}'
def vector(*pairs):
    result = [{'metric': m, 'value': [float(at), v]} for m, v in pairs]
    return 200, json.dumps({'status': 'success', 'data': {'resultType': 'vector', 'result': result}})
web, db = ({'instance': 'alpha:9177', 'domain': d} for d in ('web1', 'db1'))
node = {'instance': 'alpha:9100'}
table = {
    'libvirt_domain_info_cpu_time_seconds_total': [(web, '12.5'), (db, '7')],
    'timestamp(libvirt_domain_info_cpu_time_seconds_total)': [(web, '1699999990.25'), (db, '1699999991')],
    'libvirt_domain_info_virtual_cpus': [(web, '4'), (db, '2')],
    'libvirt_domain_memory_stats_available_bytes': [(web, '1000'), (db, 'NaN')],
    'libvirt_domain_memory_stats_available_bytes - libvirt_domain_memory_stats_usable_bytes': [(web, '250')],
    'libvirt_domain_info_meta or libvirt_domain_openstack_info': [(dict(web, uuid='u-1'), '1')],
    'node_memory_MemTotal_bytes': [(node, '64000')],
}
if q in table: return vector(*table[q])
if q.startswith('sum') and 'receive' in q: return vector((web, '5000'))
if q.startswith('sum by (instance) (node_cpu'): return vector((node, '99'))
if q.startswith('timestamp(sum'): return vector((node, '1700000000.5'))
if q.startswith('count'): return vector((node, '16'))
return vector())";

std::unique_ptr<ports::MetricSource> source(const std::string& url) {
  PrometheusOptions options;
  options.url = url + "/";
  return prometheus(options);
}

}  // namespace

TEST_CASE("counters come from the exporter's figures, joined by instance and domain") {
  const Server server(answers + 1);
  auto all = source(server.url())->counters();
  REQUIRE(all.size() == 3);
  const auto find = [&](const std::string& vm) {
    return *std::find_if(all.begin(), all.end(), [&](const auto& c) { return c.vm.get() == vm; });
  };
  const auto web = find("web1");
  CHECK(web.host.get() == "alpha");
  CHECK(web.uuid.get() == "u-1");
  CHECK(web.cpu_s == 12.5);
  CHECK(web.cpus == 4);
  CHECK(web.memory_total->value == 1000);
  CHECK(web.memory_used->value == 250);
  CHECK(web.net_bytes->value == 5000);
  CHECK_FALSE(web.disk_bytes);
  CHECK(base::to_rfc3339(web.at) == "2023-11-14T22:13:10.250Z");

  const auto db = find("db1");
  CHECK(db.uuid.get() == "vm:db1");
  CHECK_FALSE(db.memory_total);

  const auto host = find("");
  CHECK(host.host.get() == "alpha");
  CHECK(host.uuid.get().empty());
  CHECK(host.cpus == 16);
  CHECK(host.cpu_s == 99);
  CHECK(host.memory_total->value == 64000);
}

TEST_CASE("an exporter's instance may stand for another host name") {
  const Server server(answers + 1);
  PrometheusOptions options;
  options.url = server.url();
  for (const char* instance : {"alpha:9177", "alpha"}) {
    options.hosts = {{instance, model::HostName("rack1")}};
    for (const auto& c : prometheus(options)->counters()) {
      if (!c.vm.get().empty()) CHECK(c.host.get() == "rack1");
    }
  }
}

TEST_CASE("figures that no host can have are held at the bounds") {
  const Server server(R"(q = query['query'][0]
values = {'libvirt_domain_info_cpu_time_seconds_total': '1', 'libvirt_domain_memory_stats_available_bytes': '1e300',
          'timestamp(libvirt_domain_info_cpu_time_seconds_total)': '1e300'}
value = '-5' if 'receive' in q else values.get(q)
vector = [{'metric': {'instance': 'alpha:9177', 'domain': 'web1'}, 'value': [1700000000, value]}] if value else []
return 200, json.dumps({'status': 'success', 'data': {'resultType': 'vector', 'result': vector}}))");
  const auto all = source(server.url())->counters();
  REQUIRE(all.size() == 1);
  CHECK(all[0].memory_total->value == 1ull << 62);
  CHECK(all[0].net_bytes->value == 0);
  CHECK(base::to_rfc3339(all[0].at) == "9999-12-31T23:59:59Z");
}

TEST_CASE("an answer that is none of Prometheus is named as such") {
  const auto kind_of = [](const std::string& answer) {
    const Server server("return 200, '" + answer + "'");
    try {
      source(server.url())->counters();
    } catch (const base::Error& e) {
      CHECK(std::string(e.what()).find("asking Prometheus for libvirt_domain_info_cpu_time_seconds_total") == 0);
      return e.kind();
    }
    return base::Kind::internal;
  };
  CHECK(kind_of("<html>") == base::Kind::invalid);
  CHECK(kind_of("{}") == base::Kind::invalid);
  CHECK(kind_of(R"({"status":"success","data":{"resultType":"matrix","result":[]}})") == base::Kind::invalid);
  CHECK(kind_of(R"({"status":"success","data":{"resultType":"vector","result":[{"value":[1]}]}})") ==
        base::Kind::invalid);
  CHECK(kind_of(R"({"status":"error","error":"no such metric"})") == base::Kind::io);
}

TEST_CASE("no server is an unreachable one") {
  try {
    source("http://127.0.0.1:1")->counters();
    FAIL("it answered");
  } catch (const base::Error& e) {
    CHECK(e.kind() == base::Kind::unreachable);
  }
}
