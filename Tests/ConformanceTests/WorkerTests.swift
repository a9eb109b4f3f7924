import Conformance
import Testing

@Suite struct WorkerTests {
    private let jobs = [CheckJob(Check("udx.one", ["UDX-1"], .machine) { _ in })]

    @Test func aWorkerThatDiesIsACrash() {
        let pool = WorkerPool(
            executable: "/bin/sh", arguments: ["-c", "read line; echo 'Fatal error: out of range' >&2; kill -ILL $$"], threads: 1,
            timeLimitSeconds: 30)
        let result = pool.run(jobs)[0]
        #expect(result.verdict == .crash)
        #expect(result.reason == "the process ended with signal 4: Fatal error: out of range")
    }

    @Test func aWorkerThatIsSilentHangs() {
        let pool = WorkerPool(executable: "/bin/sh", arguments: ["-c", "read line; read line"], threads: 1, timeLimitSeconds: 0.05)
        #expect(pool.run(jobs)[0].verdict == .hang)
    }

    @Test func nonsenseIsTheHarnessError() {
        let pool = WorkerPool(executable: "/bin/sh", arguments: ["-c", "read line; echo hello"], threads: 1, timeLimitSeconds: 30)
        #expect(pool.run(jobs)[0].verdict == .harnessError)
    }

    @Test func aProgramThatDoesNotExistIsTheHarnessError() {
        let pool = WorkerPool(executable: "/nowhere/at/all", arguments: [], threads: 1, timeLimitSeconds: 30)
        #expect(pool.run(jobs)[0].verdict == .harnessError)
    }

    @Test func aWorkersAnswerIsTheResult() {
        let answer = "{\"verdict\":\"exact\",\"reason\":\"\",\"comparisons\":3,\"microseconds\":1}"
        let pool = WorkerPool(executable: "/bin/sh", arguments: ["-c", "read line; echo '\(answer)'"], threads: 1, timeLimitSeconds: 30)
        let result = pool.run(jobs)[0]
        #expect(result.verdict == .exact)
        #expect(result.comparisons == 3)
    }
}
