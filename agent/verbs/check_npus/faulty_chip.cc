// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/check_npus/faulty_chip.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace npufleet::verbs {
namespace {

std::string WhatIsDone(const std::string& code, std::string_view reset) {
  switch (npu::ActionFor(code)) {
    case npu::FaultAction::kGoOn:
      return absl::StrCat(npu::FaultClassOf(code) ? "" : "not in the list of known codes, ",
                          "shown, nothing is done");
    case npu::FaultAction::kRestartServer:
      return "the server is restarted when it fails";
    case npu::FaultAction::kResetChip:
      return std::string(reset);
    case npu::FaultAction::kReplace:
      return "the chip must be replaced";
  }
  return "";
}

}  // namespace

std::string FaultyChip::What() const {
  return absl::StrCat("chip ", id, " must be reset: fault ", absl::StrJoin(codes, " "));
}

std::vector<std::string> CodesFor(const v1::Chip& chip, npu::FaultAction action) {
  std::vector<std::string> codes;
  for (const std::string& text : chip.error_codes()) {
    std::string code = npu::NormalFaultCode(text);
    if (npu::ActionFor(code) == action) codes.push_back(std::move(code));
  }
  return codes;
}

std::string DescribeFaults(const v1::Chip& chip, std::string_view reset) {
  std::vector<std::string> told;
  for (const std::string& text : chip.error_codes()) {
    const std::string code = npu::NormalFaultCode(text);
    told.push_back(absl::StrCat(code, ": ", WhatIsDone(code, reset)));
  }
  return absl::StrJoin(told, "; ");
}

}  // namespace npufleet::verbs
