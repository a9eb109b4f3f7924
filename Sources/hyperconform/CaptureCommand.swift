import ArgumentParser
import Dissection
import Foundation
import PacketCapture
import SansIO

struct CaptureCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture", abstract: "Captures live and decodes what it sees.",
        discussion: """
            With --write the capture is evidence: a 64 MiB ring, no immediate mode, marker packets before and after, drop counters in the file.
            Without it, packets are shown as they come. It ends with Ctrl-C, after --seconds, or after --count packets.
            Exit code 3 if the system dropped packets or a marker is missing: such a capture proves nothing.
            """)

    @Option(name: [.customShort("i"), .long], help: ArgumentHelp("Interface; --list names them.", valueName: "name"))
    var interface = "lo"

    @Option(help: ArgumentHelp("A libpcap filter.", valueName: "expression"))
    var filter = "udp"

    @Option(name: [.customShort("w"), .long], help: ArgumentHelp("Write a pcapng file.", valueName: "file"))
    var write: String?

    @Option(help: "Stop after this many seconds.")
    var seconds: Double?

    @Option(help: "Stop after this many packets.")
    var count: Int?

    @Flag(help: "List the interfaces and stop.")
    var list = false

    func validate() throws {
        if let seconds, seconds <= 0 { throw ValidationError("--seconds must be more than 0") }
        if let count, count <= 0 { throw ValidationError("--count must be more than 0") }
    }

    nonisolated(unsafe) private static var interrupted: sig_atomic_t = 0

    func run() throws {
        if list {
            for name in try LiveCapture.interfaces() { print(name) }
            return
        }
        let markers = interface == "lo" && write != nil
        // Markers must pass the filter, whatever it says.
        let wanted = markers ? "(\(filter)) or (udp dst port \(CaptureMarker.port))" : filter
        let live = try LiveCapture(LiveCapture.Options(interface: interface, filter: wanted, mode: write == nil ? .live : .evidence))
        // Only a flag is set here, which is all that a signal handler may do.
        signal(SIGINT) { _ in CaptureCommand.interrupted = 1 }
        let run = String(UInt64.random(in: 0 ... .max), radix: 16)
        if markers { CaptureMarker.send(.begin, run: run) }
        var sink = try write.map { try EvidenceFile($0, live.linkType, interface) }
        let start = Date()
        var packets: [CapturedPacket] = []
        var seen = 0
        var ending: Date?
        var printer: TreePrinter?
        while true {
            let isOver =
                CaptureCommand.interrupted != 0 || seconds.map { Date().timeIntervalSince(start) >= $0 } ?? false
                || count.map { seen >= $0 } ?? false
            if isOver, ending == nil {
                ending = Date()
                if markers { CaptureMarker.send(.end, run: run) } else { break }
            }
            // Once the end marker has come through, everything before it has. Other traffic may go on for ever.
            if let ending, CaptureMarker.find(run: run, in: packets).end || Date().timeIntervalSince(ending) > 2 { break }
            guard let frame = try live.next() else { continue }
            seen += 1
            try sink?.add(frame)
            let packet = CapturedFrameReader.packet(frame, number: seen, linkType: live.linkType)
            if markers, packet.destination.port == CaptureMarker.port { packets.append(packet) }
            if sink == nil {
                if printer == nil { printer = TreePrinter(detail: .summary, colours: Terminal.colours, start: frame.timeNanoseconds) }
                if let printer { print(printer.text(PacketGlance.dissect(packet)), terminator: "") }
            }
        }
        let counters = try live.counters()
        try sink?.finish(counters)
        Terminal.warn("\(seen) packets, \(counters.dropped) dropped by the system, \(counters.droppedByInterface) by the interface")
        let found = CaptureMarker.find(run: run, in: packets)
        if write != nil, counters.dropped > 0 || markers && !(found.begin && found.end) {
            Terminal.fail("packets were lost, or a marker is missing: this capture is not evidence", 3)
        }
    }
}

/// Writes frames to disk as they come.
struct EvidenceFile {
    private var writer: PcapNGWriter
    private let file: FileHandle
    private let path: String
    private var lastTime: Int64 = 0

    init(_ path: String, _ linkType: LinkType, _ interface: String) throws {
        guard FileManager.default.createFile(atPath: path, contents: nil), let file = FileHandle(forWritingAtPath: path) else {
            throw OutputError(path: path)
        }
        self.file = file
        self.path = path
        writer = PcapNGWriter(linkType: linkType, interfaceName: interface)
    }

    mutating func add(_ frame: LiveCapture.Frame) throws {
        writer.add(frame: frame.bytes, timeNanoseconds: frame.timeNanoseconds, originalLength: frame.originalLength)
        lastTime = frame.timeNanoseconds
        if writer.bytes.count > 1 << 20 { try flush() }
    }

    mutating func finish(_ counters: LiveCapture.Counters) throws {
        writer.add(received: counters.received, dropped: counters.dropped, timeNanoseconds: lastTime)
        try flush()
        try file.close()
    }

    private mutating func flush() throws {
        do { try file.write(contentsOf: Data(writer.take())) } catch { throw OutputError(path: path) }
    }
}
