// SPDX-License-Identifier: Apache-2.0
//
// npu-smi, hccn_tool, fault codes and version.info: any text is allowed, and what comes out fits
// the wire.
#include "agent/npu/chip_users.h"
#include "agent/npu/fault_codes.h"
#include "agent/npu/hccn.h"
#include "agent/npu/npu_smi.h"
#include "tests/fuzz/require.h"

using namespace npufleet;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const v1::Inventory inventory = npu::ParseNpuSmiInfo(text);
  Require(v1::Inventory().ParseFromString(inventory.SerializeAsString()));
  Require(inventory.warnings_size() <= 25);
  const auto users = npu::ParseNpuSmiUsers(text);
  Require(users.ok() ? inventory.chips_size() > 0 : absl::IsUnavailable(users.status()));
  npu::ParseNpuSmiHealth(text);
  Require(npu::NormalFaultCode(text).size() >= 8 || !npu::FaultClassOf(text).has_value());
  npu::ParseNpuSmiMapping(text);
  npu::ParseReturnCode(text);
  npu::ParseVersionInfo(text);
  npu::HealthFromWord(text);
  Require(npu::Printable(text, 40).size() <= 40);
  npu::ParseHccnAddress(text);
  npu::ParseHccnLink(text);
  npu::ParseHccnTls(text);
  npu::ParseHccnNetHealth(text);
  npu::ParseHccnNetdetect(text);
  npu::ParseHccnGateway(text);
  npu::ParseHccnPing(text);
  return 0;
}
