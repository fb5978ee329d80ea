// SPDX-License-Identifier: Apache-2.0
#include "adapters/metrics/prometheus.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <catch2/catch.hpp>

#include "base/error.hpp"
#include "server.hpp"

namespace {

using namespace umbra;
using metrics::prometheus;
using metrics::PrometheusOptions;
using metrics::test::Server;
using model::Resource;

/// Answers as Prometheus does; `series(q, t)` gives (labels, value) pairs for a query at a time. It refuses more than
/// 11,000 points, as the real one does; the server's clock stands at 1700003600.
std::string answering(const std::string& series) {
  return "def series(q, t):\n" + series + R"(
def ok(kind, result): return 200, json.dumps({'status': 'success', 'data': {'resultType': kind, 'result': result}})
q = query['query'][0]
if q == 'time()': return ok('scalar', [1700003600, '1700003600'])
if path == '/api/v1/query':
    t = float(query['time'][0])
    return ok('vector', [{'metric': m, 'value': [t, v]} for m, v in series(q, t)])
start, end, step = (float(query[k][0]) for k in ('start', 'end', 'step'))
n = int((end - start) / step) + 1
if n > 11000: return 400, json.dumps({'status': 'error', 'error': 'exceeded maximum resolution'})
found = {}
for i in range(n):
    t = start + i * step
    for m, v in series(q, t): found.setdefault(json.dumps(m), []).append([t, v])
return ok('matrix', [{'metric': json.loads(m), 'values': v} for m, v in found.items()]))";
}

base::Instant at(std::int64_t unix_s) {
  return base::Instant(base::Millis(unix_s * 1000));
}

constexpr std::int64_t start = 1700000040;  // a whole minute

std::vector<model::Series> taken(PrometheusOptions options, const ports::Past& past) {
  std::map<model::Uuid, model::Series> all;
  prometheus(std::move(options))->range(past, [&](const std::vector<model::Series>& piece) {
    for (const model::Series& one : piece) {
      model::Series& whole = all.try_emplace(one.uuid, model::Series{one.vm, one.uuid, one.host, {}}).first->second;
      whole.samples.insert(whole.samples.end(), one.samples.begin(), one.samples.end());
    }
  });
  std::vector<model::Series> list;
  for (auto& [uuid, one] : all) list.push_back(std::move(one));
  return list;
}

PrometheusOptions options_for(const Server& server) {
  PrometheusOptions options;
  options.url = server.url() + "/";
  return options;
}

const model::Series& series_of(const std::vector<model::Series>& all, const std::string& uuid) {
  const auto it = std::ranges::find(all, model::Uuid(uuid), &model::Series::uuid);
  REQUIRE(it != all.end());
  return *it;
}

const char* const fleet = R"(
    web, db = ({'instance': 'alpha:9177', 'domain': d} for d in ('web1', 'db1'))
    gpu = {'instance': '10.9.0.7:9400', 'Hostname': 'web1.example.org'}
    node = {'instance': 'alpha:9100'}
    if q.startswith('last_over_time'): return [(dict(web, uuid='u-1'), '1')]
    if 'cpu_time' in q: return [(web, '0.25'), (db, 'NaN' if t % 120 else '1.5')]
    if 'usable_bytes' in q: return [(web, '-1e-17')]
    if 'receive' in q: return [(web, '+Inf'), (db, '1.5')]
    if 'read_bytes' in q: return [(web, '-0.5'), (db, '85')]
    if 'GPU_UTIL' in q: return [(gpu, '0.75'), ({'instance': 'x:1', 'Hostname': 'alpha'}, '0.5'), ({'instance': 'x:1'}, '1')]
    if 'FB_USED' in q: return [({'instance': 'x:1', 'Hostname': 'train1'}, '0.125')]
    if 'node_cpu' in q: return [(node, '0.625')]
    return [])";

/// The most that this process has had so far.
double resident_mib_at_most() {
  rusage use{};
  ::getrusage(RUSAGE_SELF, &use);
  return static_cast<double>(use.ru_maxrss) / 1024;
}

}  // namespace

TEST_CASE("what was recorded becomes series of VMs and hosts") {
  const Server server(answering(fleet));
  const auto all = taken(options_for(server), {at(start - 59), at(start + 60), base::Seconds{60}, {}});
  REQUIRE(all.size() == 4);

  const model::Series& web = series_of(all, "u-1");
  CHECK(web.vm.get() == "web1");
  CHECK(web.host.get() == "alpha");
  REQUIRE(web.samples.size() == 2);
  CHECK(web.samples[0].at == at(start));
  CHECK(web.samples[1].at == at(start + 60));
  CHECK(web.samples[0][Resource::cpu] == 0.25);
  CHECK(web.samples[0][Resource::memory] == 0.0);
  CHECK_FALSE(web.samples[0][Resource::net]);   // infinite
  CHECK_FALSE(web.samples[0][Resource::disk]);  // negative
  CHECK(web.samples[0][Resource::gpu] == 0.75);

  const model::Series& db = series_of(all, "vm:db1");
  REQUIRE(db.samples.size() == 2);
  CHECK(db.samples[0][Resource::net] == 1.5);
  CHECK_FALSE(db.samples[0][Resource::disk]);  // no fraction
  CHECK(db.samples[0][Resource::cpu].has_value() != db.samples[1][Resource::cpu].has_value());
  CHECK(db.samples[start % 120 == 0 ? 0 : 1][Resource::cpu] == 1.0);  // emulator threads

  const model::Series& host = series_of(all, "host:alpha");
  CHECK(host.vm.get().empty());
  CHECK(host.samples[0][Resource::cpu] == 0.625);
  CHECK(host.samples[0][Resource::gpu] == 0.5);
  CHECK(series_of(all, "vm:train1").samples[0][Resource::gpu_memory] == 0.125);
}

TEST_CASE("only what is newer than the history is asked for, and nothing ahead of the server's clock") {
  const Server server(answering(fleet));
  const std::map<model::Uuid, base::Instant> held{{model::Uuid("a"), at(start)}, {model::Uuid("b"), at(start + 130)}};
  auto all = taken(options_for(server), {at(0), at(start + 300), base::Seconds{60}, held});
  CHECK(series_of(all, "u-1").samples.front().at == at(start + 180));
  CHECK(series_of(all, "u-1").samples.back().at == at(start + 300));
  all = taken(options_for(server), {at(1700003600 - 100), at(2000000000), base::Seconds{10}, {}});
  CHECK(series_of(all, "u-1").samples.size() == 11);
  CHECK(series_of(all, "u-1").samples.back().at == at(1700003600));
  CHECK(taken(options_for(server), {at(start + 10), at(start), base::Seconds{60}, {}}).empty());
}

TEST_CASE("a long past comes in chunks that the server takes, none twice and none missing") {
  const Server server(answering(R"(
    if 'cpu_time' in q: return [({'instance': 'alpha:9177', 'domain': 'web1'}, str(t % 1000 / 1000))]
    return [])"));
  const auto all = taken(options_for(server), {at(1700003600 - 25'000), at(1700003600), base::Seconds{1}, {}});
  const model::Series& web = series_of(all, "vm:web1");
  REQUIRE(web.samples.size() == 25'001);
  for (std::size_t i = 0; i < web.samples.size(); ++i) {
    const std::int64_t t = 1700003600 - 25'000 + static_cast<std::int64_t>(i);
    REQUIRE(web.samples[i].at == at(t));
    REQUIRE(*web.samples[i][Resource::cpu] == Approx(static_cast<double>(t % 1000) / 1000));
  }
}

TEST_CASE("own queries stand in for the source's, with what they may be filled in with") {
  const Server server(answering(R"(
    if q == 'mine{x="$y"}[90000ms] by (instance, uuid, name) / 5 / 7': return [({'name': 'web1', 'instance': 'alpha'}, '0.5')]
    return [])"));
  PrometheusOptions options = options_for(server);
  options.queries.cpu = "mine{x=\"$y\"}[$window] by ($labels) / $net_capacity / $disk_capacity";
  options.vm_labels = {"name"};
  options.window = base::Seconds{90};
  options.capacities = {{5}, {7}};
  const auto all = taken(options, {at(start), at(start), base::Seconds{60}, {}});
  CHECK(series_of(all, "vm:web1").samples.at(0)[Resource::cpu] == 0.5);
}

TEST_CASE("an exporter's instance may stand for another host name") {
  const Server server(answering(fleet));
  for (const char* instance : {"alpha:9177", "alpha"}) {
    PrometheusOptions options = options_for(server);
    options.hosts = {{instance, model::HostName("rack1")}};
    const auto all = taken(options, {at(start), at(start), base::Seconds{60}, {}});
    CHECK(series_of(all, "u-1").host.get() == "rack1");
  }
}

TEST_CASE("of a VM that two hosts tell of, the higher value counts, and it is where the newest is from") {
  const Server server(answering(R"(
    alpha, beta = ({'instance': h + ':9177', 'domain': 'web1', 'uuid': 'u-1'} for h in ('alpha', 'beta'))
    if 'cpu_time' in q: return [(alpha, '0.5')] * (t <= 1700000100) + [(beta, '0.25')] * (t >= 1700000100)
    return [])"));
  const auto all = taken(options_for(server), {at(start), at(start + 120), base::Seconds{60}, {}});
  REQUIRE(all.size() == 1);
  CHECK(all[0].host.get() == "beta");
  REQUIRE(all[0].samples.size() == 3);
  CHECK(all[0].samples[1][Resource::cpu] == 0.5);
  CHECK(all[0].samples[2][Resource::cpu] == 0.25);
}

TEST_CASE("an answer that is none of Prometheus is named as such") {
  const auto kind_of = [](const std::string& answer) {
    const Server server("return 200, '" + answer + "'");
    try {
      taken(options_for(server), {at(start), at(start), base::Seconds{60}, {}});
    } catch (const base::Error& e) {
      CHECK(std::string(e.what()).find("asking Prometheus for time()") == 0);
      return e.kind();
    }
    return base::Kind::internal;
  };
  CHECK(kind_of("<html>") == base::Kind::invalid);
  CHECK(kind_of("{}") == base::Kind::invalid);
  CHECK(kind_of(R"({"status":"success","data":{"resultType":"matrix","result":[]}})") == base::Kind::invalid);
  CHECK(kind_of(R"({"status":"success","data":{"resultType":"scalar","result":[1]}})") == base::Kind::invalid);
  CHECK(kind_of(R"({"status":"error","error":"no such metric"})") == base::Kind::io);
}

TEST_CASE("no server is an unreachable one, and the password in its address is not told") {
  PrometheusOptions options;
  options.url = "http://user:secret@127.0.0.1:1";
  try {
    taken(options, {at(start), at(start), base::Seconds{60}, {}});
    FAIL("it answered");
  } catch (const base::Error& e) {
    CHECK(e.kind() == base::Kind::unreachable);
    CHECK(std::string(e.what()).find("http://127.0.0.1:1/api/v1/query") != std::string::npos);
    CHECK((e.what() + e.hint()).find("secret") == std::string::npos);
  }
}

TEST_CASE("the answers for 2,000 VMs are read in seconds and in memory like their own size") {
  // Each is some 4 MB of JSON, made once.
  const Server server(R"(
q = query['query'][0]
if q == 'time()': return 200, '{"status":"success","data":{"resultType":"scalar","result":[1700003600,"1700003600"]}}'
start = float(query['start'][0]) if 'start' in query else 0
empty = '{"status":"success","data":{"resultType":"%s","result":[]}}' % ('matrix' if start else 'vector')
if 'cpu_time' not in q and 'usable_bytes' not in q: return 200, empty
n = int((float(query['end'][0]) - start) / float(query['step'][0])) + 1
values = ','.join('[%.3f,"0.%06d"]' % (start + 60 * i, 123457 * i % 1000000) for i in range(n))
each = ','.join('{"metric":{"domain":"vm%d","instance":"10.0.%d.1:9177"},"values":[%s]}' % (i, i // 40, values) for i in range(2000))
return 200, '{"status":"success","data":{"resultType":"matrix","result":[' + each + ']}}')");
  std::size_t samples = 0;
  const double before = resident_mib_at_most();
  const auto begin = std::chrono::steady_clock::now();
  prometheus(options_for(server))
      ->range({at(start), at(start + 59 * 60), base::Seconds{60}, {}}, [&](const std::vector<model::Series>& piece) {
        for (const model::Series& one : piece) samples += one.samples.size();
      });
  const base::Seconds took = std::chrono::steady_clock::now() - begin;
  INFO(took.count() << " s, " << resident_mib_at_most() - before << " MiB");
  CHECK(samples == 2000 * 60);
  CHECK(took < base::Seconds{30});
#ifndef __SANITIZE_ADDRESS__
  CHECK(resident_mib_at_most() - before < 150);
#endif
}
