import ArgumentParser
import Dissection
import PacketCapture
import StrictJSON

struct PcapShowCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Prints packets as protocol trees, decrypted where the key log allows.",
        discussion: """
            Each packet is one line - number, time, way, what it is, how it belongs to others - followed by the fields of each layer.

              hyperconform pcap show Fixtures/connect-direct
              hyperconform pcap show --summary --only udx capture.pcapng
              hyperconform pcap show --packets 40-60 --bytes capture.pcap --keylog keylog.jsonl
            """)

    @OptionGroup var input: CaptureInput

    @Flag(help: "One line a packet.")
    var summary = false

    @Flag(help: "Byte ranges of every field, and values whole.")
    var bytes = false

    @Option(help: ArgumentHelp("Only these packets: 7, or 7-20, or 7-.", valueName: "range"))
    var packets: String?

    @Option(
        help: ArgumentHelp(
            "Only packets with a layer of this name: udx, dht-rpc, hyperdht, noise, secret-stream, protomux, ...", valueName: "layer"))
    var only: String?

    @Flag(help: "Only packets with a problem.")
    var problems = false

    @Option(name: .long, help: "table for people, json for programs (one object a line).")
    var format: OutputFormat = .table

    func validate() throws {
        if let packets, PacketRange(packets) == nil { throw ValidationError("--packets wants a number or a range such as 7-20") }
        if let only, Layer(rawValue: only) == nil {
            throw ValidationError("there is no layer \"\(only)\"; the layers are \(Layer.allCases.map(\.rawValue).joined(separator: ", "))")
        }
    }

    func run() throws {
        let bundle = try input.load()
        let dissection = Dissection(bundle)
        let range = packets.flatMap { PacketRange($0) }
        let layer = only.flatMap { Layer(rawValue: $0) }
        var issues: [Int: [Issue]] = [:]
        for issue in dissection.issues { issues[issue.packet, default: []].append(issue) }
        let printer = TreePrinter(
            detail: summary ? .summary : bytes ? .bytes : .tree, colours: Terminal.colours,
            start: dissection.packets.first?.packet.timeNanoseconds ?? 0)
        var text = ""
        if format == .json {
            text += JSON.object(JSONObject(["schema": .string(DissectionJSON.schema), "name": .string(dissection.name)])).text() + "\n"
        }
        for packet in dissection.packets {
            if let range, !range.contains(packet.number) { continue }
            if let layer, !packet.units.contains(where: { $0.layer == layer }) { continue }
            let own = issues[packet.number] ?? []
            if problems, own.isEmpty { continue }
            text += format == .json ? DissectionJSON.packet(packet, issues: own).text() + "\n" : printer.text(packet, issues: own)
            if text.utf8.count > 1 << 16 {
                try output(text)
                text = ""
            }
        }
        try output(text)
    }

    private func output(_ text: String) throws { if format == .json { try Terminal.write(text, to: nil) } else { Terminal.show(text) } }
}

/// "7", "7-20", "7-".
struct PacketRange {
    let first: Int
    let last: Int

    init?(_ text: String) {
        let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = Int(parts[0]), first >= 0 else { return nil }
        self.first = first
        if parts.count == 1 {
            last = first
        } else if parts[1].isEmpty {
            last = .max
        } else {
            guard let last = Int(parts[1]), last >= first else { return nil }
            self.last = last
        }
    }

    func contains(_ number: Int) -> Bool { number >= first && number <= last }
}
