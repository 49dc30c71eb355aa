// Two contracts and two calls, one of which waits for a contract: three batches of Ignition's.
import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

export default buildModule("Shop", (m) => {
  const voucher = m.contract("Voucher", [10n ** 21n]);
  const box = m.contract("Box", [3n], { after: [voucher] });
  m.call(box, "set", [8n], { id: "set" });
  m.call(voucher, "transfer", [m.getParameter("friend"), 41n], { id: "transfer" });
  return { voucher, box };
});
