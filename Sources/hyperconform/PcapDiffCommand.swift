import ArgumentParser
import Conformance
import ConformanceReports
import Foundation
import PacketCapture

struct PcapDiffCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Two captures by what they mean: missing, extra, reordered, different.",
        discussion: """
            Packets are aligned by conversation, transaction, Noise step, stream and stream offset, not by position. Between a recording and its \
            copy every field is exact; between two runs of one scenario what is drawn at random differs as declared for each field. \
            Exit code 0 if nothing deviates, 1 if something does, 3 if a file can't be used.
            """)

    @Argument(help: ArgumentHelp("A bundle folder, or a capture file (pcap or pcapng).", valueName: "a"))
    var a: String

    @Argument(help: ArgumentHelp("What it is compared with.", valueName: "b"))
    var b: String

    @Option(name: .customLong("keylog-a"), help: ArgumentHelp("The key log of A, if it lies elsewhere.", valueName: "file"))
    var keyLogA: String?

    @Option(name: .customLong("keylog-b"), help: ArgumentHelp("The key log of B, if it lies elsewhere.", valueName: "file"))
    var keyLogB: String?

    @Option(name: .long, help: "table for people, json for programs.")
    var format: OutputFormat = .table

    @Option(name: .long, help: ArgumentHelp("Write the comparison side by side as one HTML page.", valueName: "file"))
    var html: String?

    @Option(name: .long, help: ArgumentHelp("Write B as pcapng with the findings as packet comments, for Wireshark.", valueName: "file"))
    var annotate: String?

    func run() throws {
        let first = try TraceBundle(path: a, keyLogPath: keyLogA)
        let second = try TraceBundle(path: b, keyLogPath: keyLogB)
        let diff = Diff.compare(first, second)
        let report = DiffReport(diff)
        switch format {
        case .json: try Terminal.write(report.json.text(indent: 1) + "\n", to: nil)
        case .table: Terminal.show(report.text(colours: Terminal.colours))
        }
        if let html { try Terminal.write(DiffHTML(diff).text, to: html) }
        if let annotate { try write(annotated(second, report), to: annotate) }
        if diff.verdict == .deviates { throw ExitCode(1) }
    }

    private func annotated(_ bundle: TraceBundle, _ report: DiffReport) -> [UInt8] {
        let file = bundle.capture.file
        let comments = report.comments(packetsOfB: bundle.capture.packets.map(\.number))
        var writer = PcapNGWriter(linkType: file.frames.first?.linkType ?? .ethernet)
        if let keyLog = bundle.keyLog, let first = bundle.capture.packets.first { writer.add(keyLog: keyLog, headerTime: first.time) }
        for frame in file.frames {
            writer.add(
                frame: file.bytes.array(frame.range), timeNanoseconds: frame.timeNanoseconds, originalLength: frame.originalLength,
                comments: frame.comments + (comments[frame.number] ?? []))
        }
        return writer.take()
    }

    private func write(_ bytes: [UInt8], to path: String) throws {
        do { try Data(bytes).write(to: URL(fileURLWithPath: path), options: .atomic) } catch { throw OutputError(path: path) }
    }
}
