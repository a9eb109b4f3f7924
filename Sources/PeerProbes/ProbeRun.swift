import Conformance
import Foundation
import LivePeers
import StrictJSON

/// Runs probes against processes of one peer: several at once, each process one probe at a time.
///
/// `@unchecked Sendable`: what is mutable stands behind `lock`.
public final class ProbeRun: @unchecked Sendable {
    /// What the peer said of itself.
    public struct Hello: Sendable {
        public let name: String
        public let version: String
        public let commands: Set<String>
        public let layers: Set<String>
    }

    public let hello: Hello
    public let name: String
    private let command: [String]
    private let corpus: Corpus
    private let catalogue: Catalogue
    private let seed: UInt64
    private let processes: Int
    private let lock = NSLock()
    private var results: [Int: CheckResult] = [:]
    private var next = 0

    /// Starts the peer once to hear what it can do.
    public init(command: [String], name: String?, corpus: Corpus, catalogue: Catalogue, seed: UInt64, processes: Int) throws {
        let peer = try PeerProcess(name: name ?? "peer", command: command)
        defer { peer.stop() }
        let reply = try peer.request("hello", ["contract": 1], seconds: 30)
        let versions = reply["versions"]?.object?.members.compactMap { member in member.value.string.map { "\(member.key) \($0)" } } ?? []
        hello = Hello(
            name: reply["name"]?.string ?? "peer", version: versions.joined(separator: ", "),
            commands: Set(reply["commands"]?.array?.compactMap(\.string) ?? []),
            layers: Set(reply["layers"]?.array?.compactMap(\.string) ?? []))
        self.name = name ?? hello.name
        self.command = command
        self.corpus = corpus
        self.catalogue = catalogue
        self.seed = seed
        self.processes = max(1, processes)
    }

    /// Results in the order of the probes. `progress` is called from many threads with the number that are done.
    public func run(_ probes: [Probe], progress: @escaping @Sendable (Int) -> Void = { _ in }) -> [CheckResult] {
        let group = DispatchGroup()
        for _ in 0..<min(processes, probes.count) {
            group.enter()
            let thread = Thread {
                self.work(probes, progress)
                group.leave()
            }
            thread.stackSize = 4 << 20
            thread.start()
        }
        group.wait()
        for index in probes.indices where lock.withLock({ results[index]?.verdict }) == .fails { askAgain(probes[index], index) }
        return probes.indices.compactMap { index in lock.withLock { results[index] } }
    }

    /// Real time, and many processes at once: what fails is asked twice more, alone. It is a failure unless both pass, and a pass then says so.
    private func askAgain(_ probe: Probe, _ index: Int) {
        guard let first = lock.withLock({ results[index] }) else { return }
        var peer: PeerProcess?
        defer { peer?.stop() }
        var last = first
        for _ in 0..<2 {
            last = attempt(probe, &peer)
            guard last.verdict.isPassed else { return }
        }
        let finding = first.findings.first.map { "\($0.field): \($0.actual), expected \($0.expected)" } ?? first.reason
        last.allowances.append("failed beside others, passed twice alone: \(finding)")
        lock.withLock { results[index] = last }
    }

    private func take(_ count: Int) -> Int? {
        lock.withLock {
            guard next < count else { return nil }
            defer { next += 1 }
            return next
        }
    }

    private func work(_ probes: [Probe], _ progress: @Sendable (Int) -> Void) {
        var peer: PeerProcess?
        while let index = take(probes.count) {
            let probe = probes[index]
            let result: CheckResult
            if let missing = probe.needs.first(where: { !hello.commands.contains($0) }) {
                result = CheckResult(probe.check(peer: name), verdict: .unsupported, reason: "the peer lacks \(missing)")
            } else {
                result = attempt(probe, &peer)
            }
            progress(
                lock.withLock {
                    results[index] = result
                    return results.count
                })
        }
        peer?.stop()
    }

    private struct TakesNonsense: Error {}

    private func started() throws -> PeerProcess {
        let peer = try PeerProcess(name: name, command: command)
        try peer.request("hello", ["contract": 1], seconds: 60)
        // Every process is asked for nonsense: who answers anything but `unsupported` breaks the contract.
        do {
            try peer.request("frobnicate", seconds: 30)
        } catch let failure as PeerFailure where failure.kind == .unsupported {
            return peer
        }
        throw TakesNonsense()
    }

    private func attempt(_ probe: Probe, _ peer: inout PeerProcess?) -> CheckResult {
        let exam = Examination(corpus: corpus, seed: seed)
        let check = probe.check(peer: name)
        let clock = ContinuousClock()
        let start = clock.now
        var verdict: Verdict?
        var reason = ""
        var isBroken = false
        do {
            let process = try peer ?? started()
            peer = process
            let context = ProbeContext(process, exam)
            defer { context.cleanUp() }
            try probe.run(context)
        } catch let failure as PeerFailure {
            reason = failure.description
            switch failure.kind {
            case .unsupported: verdict = .unsupported
            case .hang: (verdict, isBroken) = (.hang, true)
            case .crash: (verdict, isBroken) = (.crash, true)
            case .refused, .contract:
                verdict = .fails
                isBroken = failure.kind == .contract
                exam.report("contract", expected: "as the contract says", actual: failure.description)
            }
        } catch is TakesNonsense {
            verdict = .fails
            exam.report("contract", expected: "unsupported", actual: "it takes the nonsense command \"frobnicate\" for a real one")
        } catch let deviation as PeerDeviation {
            exam.report(deviation.field, expected: deviation.expected, actual: deviation.actual)
        } catch let error as ProbeError {
            (verdict, reason) = (.harnessError, error.description)
        } catch let error as CorpusError {
            (verdict, reason) = (.harnessError, error.description)
        } catch {
            exam.report("error", expected: "none", actual: "\(error)")
        }
        if isBroken {
            if let tail = peer?.standardErrorTail.suffix(3), !tail.isEmpty {
                reason += "; its last words: " + tail.joined(separator: " | ")
            }
            peer?.stop()
            peer = nil
        }
        let elapsed = (clock.now - start).components
        return CheckResult(
            check, verdict: verdict ?? judged(exam, probe), reason: exam.notRunReason ?? reason, findings: exam.findings,
            allowances: exam.allowances, comparisons: exam.comparisons,
            microseconds: elapsed.seconds * 1_000_000 + elapsed.attoseconds / 1_000_000_000_000)
    }

    /// Where the catalogue says that the reference itself deviates, so does this peer: another thing than a failure nobody knows of.
    private func judged(_ exam: Examination, _ probe: Probe) -> Verdict {
        guard exam.verdict == .fails, !probe.requirements.isEmpty else { return exam.verdict }
        return probe.requirements.allSatisfy { catalogue[$0]?.reference == .deviates } ? .deviates : .fails
    }
}
