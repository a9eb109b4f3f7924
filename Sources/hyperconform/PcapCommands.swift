import ArgumentParser

struct PcapCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pcap", abstract: "Looks into captures: show, count, diagnose, export.",
        subcommands: [
            PcapShowCommand.self, PcapStatsCommand.self, PcapCheckCommand.self, PcapDoctorCommand.self, PcapExportCommand.self,
            PcapScrubCommand.self,
            PcapDiffCommand.self, PcapLuaCommand.self, PcapBenchCommand.self,
        ])
}
