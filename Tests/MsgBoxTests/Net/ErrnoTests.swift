import CMsgBox
import MsgBox
import Testing

@Suite struct ErrnoTests {
  @Test(
    "Each error number has its status",
    arguments: [
      (Errno.addressInUse, Status.addressInUse),
      (.addressNotAvailable, .noAddress),
      (.accessDenied, .notPermitted),
      (.notPermitted, .notPermitted),
      (.tooManyOpenFiles, .noDescriptors),
      (.tooManyOpenFilesInSystem, .noDescriptors),
      (.connectionRefused, .refused),
      (.hostUnreachable, .unreachable),
      (.networkUnreachable, .unreachable),
      (.machineNotOnNetwork, .unreachable),
      (.timedOut, .timedOut),
      (.connectionReset, .reset),
      (.brokenPipe, .reset),
      (.noMemory, .noMemory),
      (.noBufferSpace, .noMemory),
      (.invalidArgument, .system),
      (Errno(rawValue: 0), .ok),
    ])
  func status(errno: Errno, status: Status) {
    #expect(errno.status == status)
  }

  @Test("A shim's result is a value or an error")
  func results() throws {
    #expect(try checked(Int32(7)) == 7)
    #expect(try checked(Int64(0)) == 0)
    #expect(throws: Errno.wouldBlock) { try checked(0 - CMSGBOX_EAGAIN) }
    #expect(throws: Errno(rawValue: .min)) { try checked(Int32.min) }
  }
}
