// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <pugixml.hpp>

#include "adapters/virt/domain_xml.hpp"
#include "adapters/virt/samples.hpp"
#include "adapters/virt/xml_edit.hpp"
#include "base/error.hpp"

using namespace umbra;
using namespace umbra::virt;
using model::DiskName;

namespace {

pugi::xml_document parsed(const std::string& xml) {
  pugi::xml_document document;
  REQUIRE(document.load_string(xml.c_str()));
  return document;
}

std::string at(const std::string& xml, const char* xpath) {
  return parsed(xml).select_node(xpath).attribute().value();
}

std::size_t count(const std::string& xml, const char* xpath) {
  return parsed(xml).select_nodes(xpath).size();
}

const std::map<DiskName, std::string> paths{{DiskName("vda"), "/b/vda.qcow2"}, {DiskName("vdb"), "/b/vdb.qcow2"}};
const ports::ShadowDefinition definition{
    paths, {{"br0", "lan0"}}, {model::Role::shadow, model::HostName("alpha"), {42}}};

ports::MoveRequest move_request() {
  ports::MoveRequest request;
  request.target_paths = paths;
  request.networks = {{"default", "nat"}};
  request.tag = {model::Role::primary, model::HostName("alpha"), {42}};
  return request;
}

}  // namespace

TEST_CASE("a shadow keeps name, UUID, MAC addresses and command line of its primary") {
  const std::string xml = shadow_xml(samples::live, definition);
  const model::Domain shadow = parse_domain(xml).domain;
  const model::Domain primary = parse_domain(samples::live).domain;
  CHECK(shadow.name == primary.name);
  CHECK(shadow.uuid == primary.uuid);
  CHECK(shadow.nics[0].mac == primary.nics[0].mac);
  CHECK(std::string(parsed(xml).select_node("/domain/os/cmdline").node().text().get()) == "console=ttyS0 a=\"b & c\"");
}

TEST_CASE("a shadow's disks are its own qcow2 files without a chain told, whatever the primary's were") {
  const std::string xml = shadow_xml(samples::live, definition);
  const model::Domain shadow = parse_domain(xml).domain;
  REQUIRE(shadow.disks.size() == 2);
  for (const model::Disk& disk : shadow.disks) {
    CHECK(disk.path == paths.at(disk.name));
    CHECK(disk.format == "qcow2");
  }
  CHECK(count(xml, "//backingStore") == 0);
  CHECK(count(xml, "//disk[@device='disk' and @type='file']") == 2);
  CHECK(count(xml, "//disk/source[@dev or @index]") == 0);
  CHECK(count(xml, "//disk[@device='cdrom']/source") == 0);
}

TEST_CASE("a shadow has its host's networks, its own tag, and nothing that was generated for the primary's host") {
  const std::string xml = shadow_xml(samples::live, definition);
  const model::Domain shadow = parse_domain(xml).domain;
  CHECK(shadow.nics[0].network == "lan0");
  CHECK(shadow.nics[1].network == "default");
  CHECK(shadow.tag == definition.tag);
  CHECK(count(xml, "/domain/metadata/*") == 2);  // another program's is kept
  CHECK(at(xml, "/domain/@id").empty());
  CHECK(count(xml, "/domain/seclabel") == 1);
  CHECK(at(xml, "/domain/seclabel/@type") == "static");
}

TEST_CASE("a disk without a file, and a file without a disk, are named") {
  ports::ShadowDefinition less = definition;
  less.disk_paths.erase(DiskName("vdb"));
  CHECK_THROWS_WITH(shadow_xml(samples::live, less), Catch::Contains("vdb"));
  ports::ShadowDefinition more = definition;
  more.disk_paths[DiskName("vdz")] = "/b/vdz.qcow2";
  CHECK_THROWS_WITH(shadow_xml(samples::live, more), Catch::Contains("vdz"));
}

TEST_CASE("a VM moves with its CD-ROM, onto the target's files and networks, with the tag it is to have there") {
  const std::string xml = move_xml(samples::live, move_request());
  const model::Domain there = parse_domain(xml).domain;
  CHECK(there.disks[0].path == "/b/vda.qcow2");
  CHECK(there.nics[0].network == "br0");
  CHECK(there.nics[1].network == "nat");
  CHECK(there.tag == move_request().tag);
  CHECK(count(xml, "//disk[@device='cdrom']/source") == 1);
  CHECK(count(xml, "//backingStore") == 0);
}

TEST_CASE("a tag of no role is taken away") {
  ports::MoveRequest request = move_request();
  request.tag = {};
  const std::string xml = move_xml(samples::live, request);
  CHECK(parse_domain(xml).domain.tag == model::RoleTag{});
  CHECK(count(xml, "/domain/metadata/*") == 1);
}

TEST_CASE("a domain without metadata gets its tag") {
  pugi::xml_document document = parsed(samples::live);
  document.child("domain").remove_child("metadata");
  std::ostringstream out;
  document.print(out);
  CHECK(parse_domain(shadow_xml(out.str(), definition)).domain.tag == definition.tag);
}

TEST_CASE("a guest resumed here has the networks and the tag of the definition here") {
  const std::string here = shadow_xml(samples::live, definition);
  const std::string xml = resume_xml(samples::live, {"/m", paths, false}, here);
  const model::Domain resumed = parse_domain(xml).domain;
  CHECK(resumed.nics[0].network == "lan0");
  CHECK(resumed.tag == definition.tag);
  CHECK(parse_domain(resume_xml(samples::live, {"/m", paths, false}, std::nullopt)).domain.nics[0].network == "br0");
}

TEST_CASE("a guest resumed with its cables out is joined to no network at all") {
  const std::string xml = resume_xml(samples::live, {"/m", paths, true}, shadow_xml(samples::live, definition));
  CHECK(count(xml, "//interface[@type='ethernet']") == 2);
  CHECK(count(xml, "//interface/source") == 0);
  CHECK(count(xml, "//interface/target") == 0);
  CHECK(parse_domain(xml).domain.nics[0].mac == "52:54:00:aa:37:ee");
  const std::vector<std::string> nics = unplugged_nics(xml);
  REQUIRE(nics.size() == 2);
  CHECK(at(nics[1], "/interface/link/@state") == "down");
}

TEST_CASE("a snapshot leaves the other disks alone") {
  const ports::FreezeRequest request{{{DiskName("vda"), "/i/a<b&.qcow2"}}, std::nullopt};
  const std::string xml = snapshot_xml(request, {"vdb", "sda"});
  CHECK(at(xml, "//disk[@name='vda']/source/@file") == "/i/a<b&.qcow2");
  CHECK(at(xml, "//disk[@name='vda']/@snapshot") == "external");
  CHECK(count(xml, "//disk[@snapshot='no']") == 2);
  CHECK(at(xml, "//memory/@snapshot") == "no");
  CHECK(at(snapshot_xml({request.overlays, "/i/m"}, {}), "//memory/@file") == "/i/m");
}

TEST_CASE("a backup names bitmaps only where it is incremental, and is known as Umbra's own") {
  BackupXml backup;
  backup.scratch = {{DiskName("vda"), "/i/x-vda.umbra-scratch"}};
  backup.other_disks = {"sda"};
  backup.listen = "10.0.0.1";
  backup.port = 10900;
  std::string xml = backup_xml(backup);
  CHECK(at(xml, "//server/@port") == "10900");
  CHECK(at(xml, "//disk[@name='vda']/@exportname") == "umbra-vda");
  CHECK(at(xml, "//disk[@name='sda']/@backup") == "no");
  CHECK(count(xml, "//@exportbitmap") == 0);
  CHECK(is_own_backup(xml));
  CHECK_FALSE(is_own_backup("<domainbackup><disks><disk name='vda' exportname='vda'/></disks></domainbackup>"));

  backup.since = model::CheckpointName("umbra-4");
  backup.listen.clear();
  backup.socket = "/s";
  xml = backup_xml(backup);
  CHECK(at(xml, "//@exportbitmap") == "umbra-vda");
  CHECK(std::string(parsed(xml).child("domainbackup").child_value("incremental")) == "umbra-4");
  CHECK(at(xml, "//server/@socket") == "/s");
  CHECK(count(xml, "//server/@port") == 0);
}

TEST_CASE("disks that an act does not name are told, CD-ROMs included") {
  CHECK(disks_but(samples::live, {DiskName("vda")}) == std::vector<std::string>{"vdb", "sda"});
}

TEST_CASE("what a checkpoint's bitmaps hold is told where all of them are") {
  const auto with = [](const std::string& disks) {
    return virt::checkpoint_bytes("<domaincheckpoint><name>umbra-1</name><disks>" + disks +
                                  "</disks></domaincheckpoint>");
  };
  const std::string vda = "<disk name='vda' checkpoint='bitmap' bitmap='umbra-1' size='1114112'/>";
  CHECK(with(vda + "<disk name='hda' checkpoint='no'/>") == model::ByteCount{1114112});
  CHECK(with(vda + "<disk name='vdb' checkpoint='bitmap' bitmap='umbra-1' size='65536'/>") ==
        model::ByteCount{1114112 + 65536});
  CHECK_FALSE(with(vda + "<disk name='vdb' checkpoint='bitmap' bitmap='umbra-1'/>"));
}
