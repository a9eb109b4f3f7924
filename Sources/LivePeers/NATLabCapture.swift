import Foundation

/// A capture by this program's own `capture` command in another namespace, into a file.
final class NATLabCapture {
    private let process = Process()
    private let errors = Pipe()
    let path: String

    /// Starts capturing and returns when the file is there.
    init(program: String, namespace: String, interface: String, path: String) throws {
        self.path = path
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = [
            "ip", "netns", "exec", namespace, program, "capture", "--interface", interface, "--filter", "udp or tcp or icmp", "--write",
            path,
        ]
        process.standardError = errors
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        let deadline = Date(timeIntervalSinceNow: 15)
        while !FileManager.default.fileExists(atPath: path) {
            guard process.isRunning, Date() < deadline else {
                let text =
                    process.isRunning ? "nothing in 15 s" : String(decoding: errors.fileHandleForReading.availableData, as: UTF8.self)
                stop()
                throw NATLab.Failure(description: "no capture in \(namespace): \(text)", isMissing: false)
            }
            usleep(20_000)
        }
    }

    /// Ends it. False if packets were lost.
    @discardableResult
    func stop() -> Bool {
        if process.isRunning { kill(process.processIdentifier, SIGINT) }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }
}
