import Foundation
import SansIO
import StrictJSON

/// The Swift stack behind the peer contract (harness/PEERS.md): one JSON object a line on standard input and output.
@main
struct PeerMain {
    static func main() async {
        signal(SIGPIPE, SIG_IGN)
        // A negative control: the stack with one thing wrong on the wire, by a mutation's code. Only builds with mutation points can lie.
        if let text = ProcessInfo.processInfo.environment["HYPERCONFORM_LIE"] {
            guard let code = UInt32(text), Mutation.pointsExist else {
                FileHandle.standardError.write(Data("HYPERCONFORM_LIE: a mutation's code, in a build with mutation points\n".utf8))
                exit(2)
            }
            Mutation(code: code).plantEverywhere()
        }
        let output = PeerOutput()
        let peer = Peer(output: output)
        if let path = ProcessInfo.processInfo.environment["HYPERSWARM_KEYLOGFILE"], !path.isEmpty { _ = try? peer.keyLog(path) }
        let (lines, sink) = AsyncStream<[UInt8]>.makeStream()
        Thread.detachNewThread {
            InputLines.read { sink.yield($0) }; sink.finish()
        }
        for await line in lines { peer.receive(line) }
        // Standard input has ended: close everything, within the five seconds that the contract gives.
        let closing = Task { await peer.closeAll() }
        Thread.detachNewThread {
            Thread.sleep(forTimeInterval: 4)
            exit(0)
        }
        await closing.value
        exit(0)
    }
}

/// Standard input, cut into lines.
enum InputLines {
    /// A line may be this long; a longer one is malformed.
    static let limit = 16 << 20

    static func read(_ body: ([UInt8]) -> Void) {
        var pending: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Foundation.read(0, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return }
            var start = 0
            for index in 0..<count where buffer[index] == 10 {
                pending += buffer[start..<index]
                body(pending)
                pending.removeAll(keepingCapacity: true)
                start = index + 1
            }
            pending += buffer[start..<count]
            if pending.count > limit {
                body(Array(pending.prefix(1)))
                pending.removeAll()
            }
        }
    }
}

/// Whole lines on standard output, each written at once.
final class PeerOutput: Sendable {
    private let lock = NSLock()

    func line(_ object: JSONObject) {
        var bytes = Array(JSON.object(object).text().utf8)
        bytes.append(10)
        lock.lock()
        defer { lock.unlock() }
        var start = 0
        while start < bytes.count {
            let written = bytes.withUnsafeBytes { Foundation.write(1, $0.baseAddress.map { $0 + start }, bytes.count - start) }
            if written < 0 {
                if errno == EINTR { continue }
                return
            }
            start += written
        }
    }

    /// Microseconds since 1970.
    static var now: Int64 { Int64(Date().timeIntervalSince1970 * 1_000_000) }

    func event(_ name: String, _ fields: KeyValuePairs<String, JSON>) {
        var object = JSONObject(["event": .string(name), "t": .integer(PeerOutput.now)])
        for (key, value) in fields { object.set(key, value) }
        line(object)
    }
}
