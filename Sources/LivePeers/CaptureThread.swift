import Foundation
import PacketCapture
import SansIO

/// Captures an interface as evidence while something else runs: markers before and after, drop counters.
///
/// `@unchecked Sendable`: the capture handle is used by the one thread alone; what it hands over is read after the thread has ended.
public final class CaptureThread: @unchecked Sendable {
    public struct Result: Sendable {
        public let frames: [LiveCapture.Frame]
        public let linkType: LinkType
        public let dropped: UInt64
        public let hasMarkers: Bool
    }

    private let live: LiveCapture
    private let run = String(UInt64.random(in: 0 ... .max), radix: 16)
    private let done = DispatchSemaphore(value: 0)
    private let lock = NSLock()
    private var stopping = false
    private var frames: [LiveCapture.Frame] = []
    private var failure: (any Error)?

    /// Starts capturing; throws `LiveCaptureError` when the right is missing.
    public init(interface: String = "lo", filter: String = "udp or tcp") throws {
        live = try LiveCapture(LiveCapture.Options(interface: interface, filter: filter))
        let thread = Thread { [self] in
            loop()
            done.signal()
        }
        thread.start()
        CaptureMarker.send(.begin, run: run)
    }

    private func loop() {
        var quiet = 0
        while true {
            do {
                if let frame = try live.next() {
                    frames.append(frame)
                    quiet = 0
                } else if lock.withLock({ stopping }) {
                    // Two quiet rounds after the end marker: nothing is on its way any more.
                    quiet += 1
                    if quiet > 2 { return }
                }
            } catch {
                failure = error
                return
            }
        }
    }

    /// Sends the end marker, and returns all frames but the markers.
    public func finish() throws -> Result {
        CaptureMarker.send(.end, run: run)
        lock.withLock { stopping = true }
        done.wait()
        if let failure { throw failure }
        let counters = try live.counters()
        var markers = (begin: false, end: false)
        var kept: [LiveCapture.Frame] = []
        for (index, frame) in frames.enumerated() {
            let packet = CapturedFrameReader.packet(frame, number: index + 1, linkType: live.linkType)
            if packet.destination.port == CaptureMarker.port {
                let found = CaptureMarker.find(run: run, in: [packet])
                markers = (markers.begin || found.begin, markers.end || found.end)
            } else {
                kept.append(frame)
            }
        }
        return Result(frames: kept, linkType: live.linkType, dropped: counters.dropped, hasMarkers: markers.begin && markers.end)
    }
}
