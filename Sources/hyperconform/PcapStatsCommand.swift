import ArgumentParser
import Dissection
import PacketCapture

struct PcapStatsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats", abstract: "What a capture holds, counted: packets, messages, checks, streams.",
        discussion: "The keys of the JSON form are fixed (schema hyperswarm-pcap-stats/1), so that independent decoders can be compared.")

    @OptionGroup var input: CaptureInput

    @Option(name: .long, help: "table for people, json for programs.")
    var format: OutputFormat = .table

    func run() throws {
        let bundle = try input.load()
        let dissection = Dissection(bundle)
        let statistics = Statistics(dissection)
        switch format {
        case .json: try Terminal.write(statistics.json.text(indent: 1) + "\n", to: nil)
        case .table: Terminal.show(StatisticsText.text(statistics, dissection))
        }
    }
}

/// What every command on captures takes.
struct CaptureInput: ParsableArguments {
    @Argument(help: ArgumentHelp("A bundle folder, or a capture file (pcap or pcapng).", valueName: "capture"))
    var path: String

    @Option(
        name: .customLong("keylog"),
        help: ArgumentHelp(
            "A key log (hyperswarm-keylog/2). Without it the bundle's own is used, or the one inside a pcapng file.", valueName: "file"))
    var keyLog: String?

    func load() throws -> TraceBundle { try TraceBundle(path: path, keyLogPath: keyLog) }
}
