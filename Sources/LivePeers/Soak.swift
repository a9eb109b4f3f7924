import Dissection
import Foundation
import PacketCapture
import SansIO

/// Joins, leaves, connections, transfers and faults between long-lived peer processes, for as long as wanted: does anything grow?
public final class Soak {
    /// What is measured once a minute, when every object that a round made is closed again.
    public struct Figures: Sendable {
        public struct Process: Sendable {
            public let name: String
            public let residentKiB: Int
            public let descriptors: Int
            public let threads: Int
        }

        public let minute: Int
        public let processes: [Process]
        /// Rounds since the start, by kind, in the order of `Soak.kinds`.
        public let rounds: [Int]
        public let failures: Int
        /// Packets in this minute's capture sample, and those that belong to no protocol of the stack.
        public let sampled: Int
        public let unexplained: Int
    }

    public static let kinds = ["connect", "swarm", "destroy", "not-found", "records", "suspend", "loss", "junk", "kill"]

    /// The rule by which a soak passes, in words.
    public static let rule = """
        no round fails; no sampled packet is unexplained; and for every process, the last third of the minutes against the second: mean resident \
        memory grows by no more than 5 % and 2 MiB, the most file descriptors by no more than 2, the most threads by no more than 2
        """

    private let network: PeerProcess
    private let a: PeerProcess
    private let b: PeerProcess
    private let command: PeerCommand
    private let stage: SoakStage
    public private(set) var figures: [Figures] = []
    /// One sentence for each round that went wrong.
    public private(set) var failures: [String] = []
    /// One sentence for each sampled packet that is unexplained, the first few.
    public private(set) var unexplained: [String] = []
    private var rounds = [Int](repeating: 0, count: Soak.kinds.count)

    /// Starts the processes and a network of eight nodes.
    public init(_ command: PeerCommand, seed: UInt64) throws {
        self.command = command
        network = try PeerProcess(name: "network", command: command.words, keepsTranscript: false)
        a = try PeerProcess(name: "a", command: command.words, keepsTranscript: false)
        b = try PeerProcess(name: "b", command: command.words, keepsTranscript: false)
        for peer in [network, a, b] { try peer.request("hello", ["contract": 1], seconds: 20) }
        stage = try SoakStage(network: network, a: a, b: b, command: command, seed: seed)
    }

    /// Runs for a number of minutes; `report` is called once a minute.
    public func run(minutes: Int, report: (Figures) -> Void) throws {
        let start = Date()
        var kind = 0
        for minute in 1...max(1, minutes) {
            let end = start.addingTimeInterval(Double(minute) * 60)
            var sample = try? CaptureThread(filter: "udp")
            let sampleEnd = Date(timeIntervalSinceNow: 6)
            var counts = (packets: 0, unexplained: 0)
            while Date() < end {
                if let running = sample, Date() > sampleEnd {
                    counts = try judge(running)
                    sample = nil
                }
                // Junk is what it is: no sample is taken while it flies.
                if sample != nil, Soak.kinds[kind % Soak.kinds.count] == "junk" { kind += 1 }
                round(kind % Soak.kinds.count)
                kind += 1
                for peer in [network, a, b] { peer.dropEvents() }
                if failures.count > 20 { throw ScenarioFailure(description: "more than 20 rounds failed; the first: \(failures[0])") }
            }
            if let running = sample { counts = try judge(running) }
            // What was closed may still linger: streams wait for stray packets, sockets for their turn.
            usleep(2_000_000)
            let measured = Figures(
                minute: minute, processes: try [network, a, b].map(Soak.measure), rounds: rounds, failures: failures.count,
                sampled: counts.packets, unexplained: counts.unexplained)
            figures.append(measured)
            report(measured)
        }
    }

    private func round(_ kind: Int) {
        do {
            switch Soak.kinds[kind] {
            case "connect": try stage.connect()
            case "swarm": try stage.swarm()
            case "destroy": try stage.destroy()
            case "not-found": try stage.notFound()
            case "records": try stage.records()
            case "suspend": try stage.suspend()
            case "loss": try stage.loss()
            case "junk": try stage.junk()
            default: try stage.kill()
            }
            rounds[kind] += 1
        } catch { failures.append("\(Soak.kinds[kind]): \(error)") }
    }

    private func judge(_ capture: CaptureThread) throws -> (packets: Int, unexplained: Int) {
        let evidence = try capture.finish()
        var count = 0
        for (index, frame) in evidence.frames.enumerated() {
            let packet = CapturedFrameReader.packet(frame, number: index + 1, linkType: evidence.linkType)
            guard let reason = PacketGlance.unexplained(packet) else { continue }
            count += 1
            if unexplained.count < 10 { unexplained.append("\(packet.source) to \(packet.destination): \(reason)") }
        }
        return (evidence.frames.count, count)
    }

    private static func measure(_ peer: PeerProcess) throws -> Figures.Process {
        let folder = "/proc/\(peer.process)"
        guard let status = FileManager.default.contents(atPath: "\(folder)/status"),
            let descriptors = try? FileManager.default.contentsOfDirectory(atPath: "\(folder)/fd")
        else { throw PeerFailure(kind: .crash, peer: peer.name, message: "it has ended: \(folder) is gone", code: nil) }
        func value(_ key: String) -> Int {
            for line in String(decoding: status, as: UTF8.self).split(separator: "\n") where line.hasPrefix(key) {
                return Int(line.filter(\.isNumber)) ?? 0
            }
            return 0
        }
        return Figures.Process(name: peer.name, residentKiB: value("VmRSS:"), descriptors: descriptors.count, threads: value("Threads:"))
    }

    /// What breaks the rule; empty if nothing does.
    public static func verdict(_ figures: [Figures], failures: [String]) -> [String] {
        var reasons = failures
        let lost = figures.reduce(0) { $0 + $1.unexplained }
        if lost > 0 { reasons.append("\(lost) sampled packets are unexplained") }
        if figures.allSatisfy({ $0.sampled == 0 }) { reasons.append("no packet was sampled: the capture is no evidence") }
        guard figures.count >= 3 else {
            reasons.append("\(figures.count) minutes tell nothing about growth: at least 3 are needed")
            return reasons
        }
        let third = figures.count / 3
        let (middle, last) = (figures[(figures.count - 2 * third)..<(figures.count - third)], figures[(figures.count - third)...])
        for (index, process) in (figures.first?.processes ?? []).enumerated() {
            func mean(_ part: ArraySlice<Figures>) -> Int { part.reduce(0) { $0 + $1.processes[index].residentKiB } / max(1, part.count) }
            func most(_ part: ArraySlice<Figures>, _ value: (Figures.Process) -> Int) -> Int {
                part.map { value($0.processes[index]) }.max() ?? 0
            }
            if mean(last) > mean(middle) + mean(middle) / 20 + 2048 {
                reasons.append("\(process.name): memory grows, \(mean(middle)) KiB in the second third and \(mean(last)) KiB in the last")
            }
            let limits: [(String, (Figures.Process) -> Int)] = [("file descriptors", { $0.descriptors }), ("threads", { $0.threads })]
            for (name, value) in limits where most(last, value) > most(middle, value) + 2 {
                reasons.append(
                    "\(process.name): \(name) grow, \(most(middle, value)) in the second third and \(most(last, value)) in the last")
            }
        }
        return reasons
    }

    public func stop() {
        for peer in [b, a, network] where !peer.stop() {
            failures.append("\(peer.name) did not leave with status 0 within five seconds after its input was closed")
        }
        for peer in [network, a, b] { if let breach = peer.breach { failures.append("\(peer.name): \(breach)") } }
    }
}
