import CMsgBox
import MsgBox
import Testing

@Suite struct LoopFaultTests {
  /// Sends messages that each fill most of a datagram, and waits for all of them to come back.
  private func exchange(_ pair: EchoPair, _ count: Int, size: Int = 1000) throws {
    var sent: [[UInt8]] = []
    for index in 0..<count {
      var message = [UInt8](repeating: 3, count: size)
      message[0] = UInt8(truncatingIfNeeded: index)
      message[1] = UInt8(truncatingIfNeeded: index >> 8)
      sent.append(message)
      #expect(pair.client.send(message, to: pair.connection) == .ok)
    }
    try pair.run { pair.client.count(.message) >= count }
    #expect(pair.client.seen.filter { $0.kind == .message }.map(\.bytes) == sent)
  }

  @Test("An asynchronous box without a thread or memory is none")
  func noThread() throws {
    try withFaults {
      fail(CMSGBOX_CALL_THREAD, with: .wouldBlock)
      #expect(throws: MessageError.self) { try AsyncMessageBox() }
      #expect(cmsgbox_fault_clear() == 1)
      _ = try AsyncMessageBox()
    }
  }

  @Test("Full send buffers lose no datagram, and keep the order")
  func datagramsWouldBlock() throws {
    try withFaults {
      let pair = try EchoPair(.udp)
      cutShort(CMSGBOX_CALL_SEND_BATCH, to: 3, times: 2)
      try exchange(pair, 20)
      pair.client.seen.removeAll()
      fail(CMSGBOX_CALL_SEND_BATCH, with: .wouldBlock, after: 1, times: 5)
      try exchange(pair, 150)
      #expect(cmsgbox_fault_clear() == 7)
    }
  }

  @Test("One datagram that is refused does not keep the others")
  func datagramRefused() throws {
    try withFaults {
      let pair = try EchoPair(.udp)
      let before = pair.client.counters.dropped(.sendFailed)
      // First of all five together, then of one alone.
      fail(CMSGBOX_CALL_SEND_BATCH, with: .messageTooLong, times: 2)
      for index in 0..<5 {
        let message = [UInt8](repeating: UInt8(index), count: 1000)
        #expect(pair.client.send(message, to: pair.connection) == .ok)
      }
      try pair.run { pair.client.count(.message) == 4 }
      #expect(pair.client.seen.filter { $0.kind == .message }.map { $0.bytes[0] } == [1, 2, 3, 4])
      #expect(pair.client.counters.dropped(.sendFailed) == before + 1)
    }
  }

  @Test(
    "Without trains every datagram goes by itself",
    arguments: [CMSGBOX_EINVAL, CMSGBOX_EIO])
  func trainsRefused(error: Int32) throws {
    try withFaults {
      let pair = try EchoPair(.udp)
      fail(CMSGBOX_CALL_SEND_BATCH, with: Errno(rawValue: error), times: 1)
      try exchange(pair, 150)
      #expect(cmsgbox_fault_clear() == 1)
      #expect(pair.client.counters.dropped(.sendFailed) == 0)
      #expect(pair.server.counters.dropped(.sendFailed) == 0)
    }
  }

  @Test("Sockets that cannot receive trains get the datagrams one by one")
  func trainsNotReceived() throws {
    try withFaults {
      fail(CMSGBOX_CALL_OFFLOAD, with: .invalidArgument, times: 2)
      let pair = try EchoPair(.udp)
      #expect(cmsgbox_fault_clear() == 2)
      try exchange(pair, 150)
    }
  }

  @Test(
    "The error of an earlier datagram costs no later one",
    arguments: [
      ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH, ENONET, ENOPROTOOPT,
      EOPNOTSUPP, EPROTO,
    ])
  func datagramBounced(error: Int32) throws {
    try withFaults {
      let pair = try EchoPair(.udp)
      fail(CMSGBOX_CALL_SEND_BATCH, with: Errno(rawValue: error))
      try exchange(pair, 3)
      fail(CMSGBOX_CALL_RECEIVE_BATCH, with: Errno(rawValue: error))
      pair.client.seen.removeAll()
      try exchange(pair, 3)
      #expect(cmsgbox_fault_clear() == 2)
      #expect(pair.client.counters.dropped(.sendFailed) == 0)
      #expect(pair.server.counters.dropped(.sendFailed) == 0)
    }
  }

  @Test("Who sends while the system has no memory to receive it is not lost")
  func noMemoryToReceive() throws {
    try withFaults {
      var options = ConnectionOptions()
      options.heartbeat = .milliseconds(10)
      options.suspect = .milliseconds(20)
      options.lost = .milliseconds(1020)
      let pair = try EchoPair(.udp, options)
      try pair.run { pair.server.count(.connectionReady) == 1 }
      let ready = try #require(pair.server.first(.connectionReady)).handle
      #expect(pair.server.send([1], to: ready) == .ok)
      pair.server.loop.flush()
      fail(CMSGBOX_CALL_RECEIVE_BATCH, with: .noMemory, times: .max)
      // Behind a second of polls without a pause silence is judged up to a second ago.
      let end = SystemClock.now + .milliseconds(2200)
      try run([pair.client]) { SystemClock.now > end || pair.client.count(.connectionLost) > 0 }
      _ = cmsgbox_fault_clear()
      try run([pair.client]) { pair.client.count(.message) == 1 }
      #expect(pair.client.count(.connectionLost) == 0)
    }
  }

  @Test("Short writes, full buffers and short reads lose no byte of a stream")
  func streams() throws {
    try withFaults {
      let pair = try EchoPair(.tcp)
      cutShort(CMSGBOX_CALL_SEND, to: 777, times: 100)
      cutShort(CMSGBOX_CALL_RECEIVE, to: 513, times: 100)
      try exchange(pair, 50, size: 5000)
      pair.client.seen.removeAll()
      fail(CMSGBOX_CALL_SEND, with: .wouldBlock, times: 20)
      fail(CMSGBOX_CALL_RECEIVE, with: .wouldBlock, times: 20)
      try exchange(pair, 50, size: 5000)
      #expect(cmsgbox_fault_clear() == 240)
    }
  }

  @Test("A large message fills the buffers of the system and arrives whole")
  func largeMessage() throws {
    let pair = try EchoPair(.tcp)
    try exchange(pair, 1, size: 15_000_000)
  }

  @Test("A stream that cannot be written to is lost after what its peer had sent was read")
  func writeFails() throws {
    try withFaults {
      let pair = try EchoPair(.tcp)
      let (client, server) = (pair.client, pair.server)
      try pair.run { server.count(.connectionReady) == 1 }
      let ready = try #require(server.first(.connectionReady))
      #expect(server.send([5], to: ready.handle) == .ok)
      server.loop.flush()
      server.loop.shutDown()
      fail(CMSGBOX_CALL_SEND, with: .brokenPipe)
      #expect(client.send([1], to: pair.connection) == .ok)
      try run([client]) { client.count(.connectionClosed) + client.count(.connectionLost) == 1 }
      #expect(client.first(.message)?.bytes == [5])
      #expect(cmsgbox_fault_clear() == 1)
    }
  }

  @Test("Out of descriptors: one error per episode, the peer is shed, and later ones are served")
  func acceptShedsOne() throws {
    try withFaults {
      let server = try TestLoop()
      let (listener, port) = try server.listening(.tcp, loopback)
      for episode in 1...2 {
        fail(CMSGBOX_CALL_ACCEPT, with: .tooManyOpenFiles)
        let shed = try TCPSocket.connect(to: Address(ip: IPAddress(v4: 0x7f00_0001), port: port))
        try run([server]) { server.count(.error) == episode }
        let error = try #require(server.first(.error))
        #expect(error.status == .noDescriptors && error.handle == listener)
        try waitFor(.readable, shed.rawValue)
        let buffer = StreamBuffer(capacity: 16)
        #expect((try? buffer.read(from: shed.rawValue)) ?? 0 == 0)

        let client = try TestLoop()
        _ = client.connect(Locator(transport: .tcp, host: loopback, port: port))
        try run([client, server]) { client.count(.connectionSetup) == 1 }
      }
      #expect(server.count(.error) == 2)
    }
  }

  /// Whether a descriptor is readable now.
  private func isReadable(_ descriptor: borrowing FileDescriptor) throws -> Bool {
    let poller = try Poller()
    try poller.add(descriptor.rawValue, token: 1, for: .readable)
    return try poller.wait(milliseconds: 0) == 1
  }

  @Test("Out of descriptors the oldest stream without a hello makes way for who comes")
  func acceptInstead() throws {
    try withFaults {
      let server = try TestLoop()
      let (listener, port) = try server.listening(.tcp, loopback)
      let address = Address(ip: IPAddress(v4: 0x7f00_0001), port: port)
      let oldest = try TCPSocket.connect(to: address)
      try run([server]) { server.loop.endpoint.census.connections == 1 }
      let next = try TCPSocket.connect(to: address)
      try run([server]) { server.loop.endpoint.census.connections == 2 }
      func join() throws -> TestLoop {
        let client = try TestLoop()
        _ = client.connect(Locator(transport: .tcp, host: loopback, port: port))
        try run([client, server]) { client.count(.connectionSetup) == 1 }
        return client
      }
      // Nobody waits behind the one that was accepted, so nobody has to go.
      fail(CMSGBOX_CALL_ACCEPT, with: .tooManyOpenFiles, after: 1)
      var clients = [try join()]
      #expect(cmsgbox_fault_clear() == 1)
      #expect(server.count(.error) == 0 && server.counters.dropped(.pendingFull) == 0)

      fail(CMSGBOX_CALL_ACCEPT, with: .tooManyOpenFiles)
      clients.append(try join())
      #expect(try isReadable(oldest) && !isReadable(next))
      fail(CMSGBOX_CALL_ACCEPT, with: .tooManyOpenFiles)
      clients.append(try join())
      #expect(try isReadable(next))
      #expect(server.counters.dropped(.pendingFull) == 2)
      #expect(server.count(.error) == 1, "one for the episode")
      #expect(server.first(.error)?.handle == listener)

      // Its end is the first one that is accepted without that.
      clients.append(try join())
      fail(CMSGBOX_CALL_ACCEPT, with: .tooManyOpenFiles)
      let shed = try TCPSocket.connect(to: address)
      try run([server]) { server.count(.error) == 2 }
      try waitFor(.readable, shed.rawValue)
      withExtendedLifetime(clients) {}
    }
  }

  @Test("A stream that made way in vain is not followed by others")
  func acceptInsteadFails() throws {
    try withFaults {
      let server = try TestLoop()
      let (_, port) = try server.listening(.tcp, loopback)
      let address = Address(ip: IPAddress(v4: 0x7f00_0001), port: port)
      let oldest = try TCPSocket.connect(to: address)
      try run([server]) { server.loop.endpoint.census.connections == 1 }
      let next = try TCPSocket.connect(to: address)
      try run([server]) { server.loop.endpoint.census.connections == 2 }
      fail(CMSGBOX_CALL_ACCEPT, with: .tooManyOpenFilesInSystem, times: 2)
      let shed = try TCPSocket.connect(to: address)
      try run([server]) { server.count(.error) == 1 }
      try waitFor(.readable, shed.rawValue)
      #expect(try isReadable(oldest) && !isReadable(next))
      #expect(server.counters.dropped(.pendingFull) == 1 && cmsgbox_fault_clear() == 2)
    }
  }

  @Test("Without even the reserve, a listener pauses and comes back by itself")
  func acceptPauses() throws {
    try withFaults {
      let server = try TestLoop()
      let (_, port) = try server.listening(.tcp, loopback)
      fail(CMSGBOX_CALL_ACCEPT, with: .tooManyOpenFilesInSystem, times: 2)
      let client = try TestLoop()
      _ = client.connect(Locator(transport: .tcp, host: loopback, port: port))
      try run([client, server]) { server.count(.error) == 1 }
      #expect(client.count(.connectionSetup) == 0)
      #expect((1...100).contains(server.loop.deadlineMilliseconds))
      #expect(cmsgbox_fault_clear() == 2)
      try run([client, server]) { client.count(.connectionSetup) == 1 }
      #expect(server.count(.error) == 1)
    }
  }

  @Test("A stream whose poll cannot be changed goes on once it can", arguments: UInt32(1)...3)
  func changingPollFails(times: UInt32) throws {
    try withFaults {
      let pair = try EchoPair(.tcp)
      fail(CMSGBOX_CALL_REWATCH, with: .noMemory, times: times)
      // It fills the buffers of the system.
      try exchange(pair, 1, size: 15_000_000)
      #expect(cmsgbox_fault_clear() == times)
      pair.client.seen.removeAll()
      try exchange(pair, 1, size: 15_000_000)
    }
  }

  @Test("A client that cannot be polled for reading at first is set up all the same")
  func changingPollOfConnectingFails() throws {
    try withFaults {
      fail(CMSGBOX_CALL_REWATCH, with: .noMemory)
      let pair = try EchoPair(.tcp)
      #expect(cmsgbox_fault_clear() == 1)
      try exchange(pair, 3)
    }
  }

  @Test(
    "A listener that can be neither silenced nor polled again comes back by itself",
    arguments: [0, 1] as [UInt32], [1, 3] as [UInt32])
  func changingPollOfListenerFails(after: UInt32, times: UInt32) throws {
    try withFaults {
      let server = try TestLoop()
      let (_, port) = try server.listening(.tcp, loopback)
      _ = cmsgbox_fault_clear()
      fail(CMSGBOX_CALL_ACCEPT, with: .tooManyOpenFilesInSystem, times: 2)
      fail(CMSGBOX_CALL_REWATCH, with: .noMemory, after: after, times: times)
      let waiting = try TCPSocket.connect(to: Address(ip: IPAddress(v4: 0x7f00_0001), port: port))
      try run([server]) { cmsgbox_fault_calls(Int32(CMSGBOX_CALL_REWATCH)) > after + times }
      #expect(server.count(.error) == 1)
      #expect(cmsgbox_fault_clear() == 2 + times)
      let client = try TestLoop()
      _ = client.connect(Locator(transport: .tcp, host: loopback, port: port))
      try run([client, server]) { client.count(.connectionSetup) == 1 }
      withExtendedLifetime(waiting) {}
    }
  }

  @Test("A loop without descriptors is not made", arguments: 0...2)
  func makeFails(after: UInt32) throws {
    try withFaults {
      fail(CMSGBOX_CALL_OPEN, with: .tooManyOpenFiles, after: after)
      switch RunLoop.make(box: 1) {
      case .success: Issue.record("made without descriptors")
      case .failure(let error): #expect(error == .tooManyOpenFiles)
      }
    }
  }

  @Test("Sockets that cannot be had are told as outcomes", arguments: [Transport.udp, .tcp])
  func openFails(transport: Transport) throws {
    try withFaults {
      let test = try TestLoop()
      let locator = Locator(transport: transport, host: loopback, port: 9)
      fail(CMSGBOX_CALL_SOCKET, with: .tooManyOpenFiles, times: 2)
      _ = test.listen(locator)
      _ = test.connect(locator)
      try run([test]) {
        test.count(.listeningError) == 1 && test.count(.connectionSetupError) == 1
      }
      #expect(test.first(.listeningError)?.status == .noDescriptors)
      #expect(test.first(.connectionSetupError)?.status == .noDescriptors)
    }
  }

  @Test("A poll that fails is told, and the next turn works")
  func pollFails() throws {
    try withFaults {
      let test = try TestLoop()
      fail(CMSGBOX_CALL_POLL, with: .noMemory)
      #expect(test.loop.turn(timeout: nil) { _, _ in } == .failure(.noMemory))
      #expect(test.loop.turn(timeout: Interval(nanoseconds: 0)) { _, _ in } == .success(0))
    }
  }
}
