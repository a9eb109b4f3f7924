import LivePeers
import Testing

/// What a peer says is kept up to a limit; beyond it, the run fails.
@Suite struct PeerProcessTests {
    /// Says the line so many times, with a number in place of `%d`.
    private static func peer(saying count: Int, _ line: String, keepsTranscript: Bool = false) throws -> PeerProcess {
        var limits = PeerProcess.Limits()
        limits.waiting = keepsTranscript ? .max : 100
        limits.transcriptBytes = 10_000
        let script = #"n=0; while [ $n -lt "$1" ]; do printf "$2\n" $n; n=$((n+1)); done; cat >/dev/null"#
        return try PeerProcess(
            name: "talker", command: ["sh", "-c", script, "sh", "\(count)", line], keepsTranscript: keepsTranscript, limits: limits)
    }

    @Test func whatFitsIsKept() throws {
        let peer = try Self.peer(saying: 100, #"{"event": "word", "number": %d}"#)
        for number in 0..<100 { _ = try peer.event("word", seconds: 60) { $0["number"]?.integer == Int64(number) } }
        #expect(peer.breach == nil)
        #expect(peer.stop())
    }

    @Test(arguments: [
        (#"{"event": "word", "number": %d}"#, false, "100 events"), (#"{"id": %d, "ok": true}"#, false, "100 replies"),
        (#"{"event": "word", "number": %d}"#, true, "10000 bytes"),
    ])
    func whatDoesNotFitFailsTheRun(_ line: String, _ keepsTranscript: Bool, _ what: String) throws {
        let peer = try Self.peer(saying: 1000, line, keepsTranscript: keepsTranscript)
        defer { peer.kill() }
        do {
            // Taken as they come, events do not pile up; the transcript does.
            while keepsTranscript { _ = try peer.event("word", seconds: 60) }
            _ = try peer.event("never", seconds: 60)
        } catch let failure as PeerFailure {
            #expect(failure.kind == .contract)
            #expect(failure.message.contains(what))
        }
        #expect(peer.breach?.contains(what) == true)
    }
}
