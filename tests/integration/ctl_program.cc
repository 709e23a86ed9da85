// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/ctl_program.h"

#include <fstream>

#include "absl/strings/str_cat.h"
#include "agent/host/subprocess.h"

namespace npufleet::integration {

CtlProgram::CtlProgram(const Fleet& fleet, const std::string& role) {
  EXPECT_TRUE(tls::SaveIdentity(folder_.path(), fleet.IdentityAs(role)).ok());
  std::ofstream(folder_.path() + "/config.yaml")
      << "controller: " << fleet.controller_address()
      << "\nca: ca.pem\ncertificate: cert.pem\nkey: key.pem\n";
}

CtlProgram::Result CtlProgram::Run(std::vector<std::string> arguments) const {
  std::vector<std::string> argv = {NPUFLEET_BIN_DIR "/ctl", "--config",
                                   folder_.path() + "/config.yaml"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const auto subprocess = host::MakeSubprocess("/", {"/usr/bin"});
  const auto result = subprocess->Run(argv);
  EXPECT_TRUE(result.ok()) << result.status();
  if (!result.ok()) return {};
  return {result->exit_code, result->out, result->err};
}

std::string CtlProgram::SpecFile(const std::string& text) const {
  const std::string path = folder_.path() + "/spec.yaml";
  std::ofstream(path) << text;
  return path;
}

std::string With(std::string text, const std::string& what, const std::string& replacement) {
  const size_t at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what << " is not in\n" << text;
  return at == std::string::npos ? text : text.replace(at, what.size(), replacement);
}

}  // namespace npufleet::integration
