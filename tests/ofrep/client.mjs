// The official provider for Node against the server at the first argument; prints what ./run compares.
import { ErrorCode, OpenFeature } from '@openfeature/server-sdk';
import { OFREPProvider } from '@openfeature/ofrep-provider';

await OpenFeature.setProviderAndWait(new OFREPProvider({ baseUrl: process.argv[2] }));
const client = OpenFeature.getClient();
const of = (user) => ({ targetingKey: user, plan: 'pro' });
for (const user of [...Array(60).keys()].map((number) => `user-${number}`).concat('tester')) {
  const found = await client.getStringDetails('tone', 'none', of(user));
  console.log(`${user} ${found.value} ${found.variant}`);
}
const missing = await client.getStringDetails('nothing', 'none', of('user-1'));
console.log(`missing ${missing.errorCode === ErrorCode.FLAG_NOT_FOUND}`);
const typed = await client.getBooleanDetails('tone', false, of('user-1'));
console.log(`typed ${typed.errorCode !== undefined}`);
const nobody = await client.getStringDetails('tone', 'none', {});
console.log(`nobody ${nobody.errorCode !== undefined}`);
