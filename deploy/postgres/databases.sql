-- Runs once, when the server's directory is made: a database and a login role for each context. Neither role can enter the other's database.
\set ON_ERROR_STOP on
\getenv customers_password CUSTOMERS_DATABASE_PASSWORD
\getenv orders_password ORDERS_DATABASE_PASSWORD

-- createrole: the migrations make the roles that may only add to the log and read it.
create role customers login createrole password :'customers_password';
create role orders login createrole password :'orders_password';

create database customers owner customers;
create database orders owner orders;
revoke all on database customers, orders from public;
